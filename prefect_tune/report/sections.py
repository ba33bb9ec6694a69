"""The sections that the page of every search has, and how large a page may be."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib import metadata

from prefect_tune.model import Approval
from prefect_tune.report.markup import code, table
from prefect_tune.report.text import params_text, seconds_text

MAX_BYTES = 400_000
_LISTED = 20
_PACKAGES = ("prefect-tune", "prefect", "dask", "scikit-learn", "numpy", "pandas")


def uncacheable(found: Sequence[tuple[str, str]], what: str) -> str:
    """The section on what has no identity; empty without any.

    Args:
        found: where, and why.
        what: runs anew, with its verb.
    """
    if not found:
        return ""
    rows = [(code(where, cell=True), code(why, cell=True)) for where, why in found[:_LISTED]]
    parts = ["## Not cacheable", f"These have no stable identity, so {what} anew in each search."]
    parts.append(table(("where", "why"), rows, "ll"))
    if len(found) > len(rows):
        parts.append(f"and {len(found) - len(rows):,} more.")
    return "\n\n".join(parts)


def approved(approval: Approval | None) -> str:
    """What a person decided before the model was made, in a line; empty if nobody was asked."""
    if approval is None:
        return ""
    asked = f"after {seconds_text(approval.seconds)}"
    if approval.row is None:
        said = f"A person ended the search without a model, {asked}."
    elif approval.place == 1:
        said = f"A person approved the best candidate, {asked}."
    else:
        chosen = code(params_text(approval.params or {}))
        said = f"A person chose candidate {approval.place} of the list, {asked}: the model is of {chosen}."
    return f"{said} Note: {code(approval.note)}" if approval.note else said


def origin(flow_run_url: str) -> str:
    """The section on versions, and on the flow run if it has a page."""
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    parts = ["## How it was made", ", ".join(versions) + "."]
    if flow_run_url:
        plain = re.fullmatch(r"https?://[\w.:/?=&%#@+-]+", flow_run_url)
        parts.append(f"Flow run: {f'<{plain[0]}>' if plain else code(flow_run_url)}")
    return "\n\n".join(parts)
