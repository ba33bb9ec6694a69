"""Names and values as MLflow takes them.

Its limits: names of letters, digits, `_ - . /` and blanks (elsewhere than on Windows `:` too) that are clean
paths of at most 250 characters; parameters of 6,000 characters, tags of 8,000, of 5,000 on older servers; in
one request 100 parameters, 100 tags, and 1,000 entries of all kinds.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from blake3 import blake3

from prefect_tune.report.text import plain
from prefect_tune.tuning.frames import config_columns

LONGEST_NAME, LONGEST_PARAMETER, LONGEST_TAG = 250, 6_000, 5_000
MOST_PARAMETERS, MOST_METRICS = 100, 800
_STRANGE = re.compile(r"[^\w\-. /]")


def clean_name(name: str) -> str:
    """The name with `_` for what MLflow does not take; one that is too long ends with its digest.

    >>> clean_name("acc@1"), clean_name("net/kind"), clean_name("/tmp")
    ('acc_1', 'net/kind', '_tmp')
    """
    found = _STRANGE.sub("_", name)
    if posixpath.normpath(found) != found or found.startswith(("..", "/")) or found == ".":
        found = found.replace("/", "_").lstrip(".") or "_"
    return found if len(found) <= LONGEST_NAME else f"{found[: LONGEST_NAME - 9]}_{_digest(name)}"


def clean_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> the one that MLflow gets; where two would get the same, all but the first end with a digest."""
    found: dict[str, str] = {}
    for name in names:
        new = clean_name(name)
        if new in found.values():
            new = f"{new[: LONGEST_NAME - 9]}_{_digest(name)}"
        found[name] = new
    return found


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The values of a configuration by path, as texts.

    >>> parameters_of({"lr": 0.1, "net": {"kind": "mlp", "width": 8}})
    {'lr': '0.1', 'net/kind': 'mlp', 'net/width': '8'}
    """
    columns = config_columns(config)
    names = clean_names(columns)
    return {names[name]: cut(as_text(value), LONGEST_PARAMETER) for name, value in columns.items()}


def as_text(value: Any) -> str:
    """The value in full; of an object whose text cannot be made, its class."""
    try:
        return str(plain(value))
    except Exception:
        return f"<{type(value).__name__}>"


def cut(text: str, width: int) -> str:
    """The text, at most `width` characters of it."""
    return text if len(text) <= width else text[: width - 1] + "…"


def tags_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Tags as texts; those that are None are left out."""
    return {
        clean_name(name): cut(as_text(value), LONGEST_TAG)
        for name, value in given.items()
        if value is not None
    }


def requests(
    metrics: Sequence[Any], parameters: Sequence[Any], tags: Sequence[Any]
) -> Iterator[tuple[Sequence[Any], Sequence[Any], Sequence[Any]]]:
    """(metrics, parameters, tags) of each request; tags come with the last, so they say that all is there.

    Nothing comes of nothing.
    """
    while len(metrics) > MOST_METRICS or len(parameters) > MOST_PARAMETERS:
        yield metrics[:MOST_METRICS], parameters[:MOST_PARAMETERS], ()
        metrics, parameters = metrics[MOST_METRICS:], parameters[MOST_PARAMETERS:]
    if metrics or parameters or tags:
        yield metrics, parameters, tags


def _digest(name: str) -> str:
    return blake3(name.encode()).hexdigest()[:8]
