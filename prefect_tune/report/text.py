"""Values, counts and progress as short one-line text, the same words in every display.

Rule: nothing here raises on what a user put into a candidate; a `repr` that fails becomes the class's name.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.report.progress import Progress
from prefect_tune.results import Failure, SearchResult

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def clean(text: str) -> str:
    """`text` without terminal colours and control characters other than line breaks and tabs."""
    if text.isprintable():  # nearly always, and a search of 10,000 candidates asks often
        return text
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def one_line(text: str, width: int = 60) -> str:
    """`text` cleaned, on one line, at most `width` characters."""
    # What cannot be shown is not worth cleaning: a cell may hold megabytes.
    line = " ".join(clean(text[: 20 * width]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def value_text(value: Any, width: int = 60) -> str:
    """A parameter's value as one line: numbers with 6 significant digits, NumPy scalars as plain ones."""
    value = plain(value)
    if isinstance(value, str):
        return one_line(value, width)
    if isinstance(value, float):
        return f"{value:.6g}"
    try:
        return one_line(repr(value), width)
    except Exception:
        # A user's class may fail in its own repr; the report must not.
        return f"<{type(value).__name__}>"


def plain(value: Any) -> Any:
    """`value`, a NumPy scalar turned into the Python number, string or bool it stands for."""
    return value.item() if isinstance(value, np.generic) else value


def params_text(params: Mapping[str, Any], width: int = 200) -> str:
    """Parameters as `C=1, kernel=rbf`, in their own order."""
    return one_line(", ".join(f"{name}={value_text(value)}" for name, value in params.items()), width)


def score_text(score: float | None) -> str:
    """A score with 5 significant digits; a dash when there is none."""
    return "–" if score is None or math.isnan(score) else f"{score:.5g}"


def seconds_text(seconds: float) -> str:
    """A duration as it reads best: `0.25 s`, `3 min 12 s`, `2 h 05 min`; an int in whole seconds."""
    if seconds == 0 or (isinstance(seconds, int) and seconds < 60):
        return f"{seconds:.0f} s"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def bytes_text(size: int) -> str:
    """A size in decimal units: `512 B`, `1.2 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(n: int, noun: str) -> str:
    """`1 candidate`, `1,200 candidates`; a parameter that is counted keeps its name: `300 n_estimators`."""
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """`calls` for `call`; a parameter's name as it is."""
    return noun if "_" in noun or noun.endswith("s") else f"{noun}s"


def progress_text(progress: Progress, quote: Callable[[str], str] = str) -> str:
    """A running search in one line: steps, best so far, failures, what it waits for.

    Args:
        quote: how the parameters, which users wrote, are set off from the rest.
    """
    finished = progress.known + progress.done
    parts = [f"{finished:,} of {counted(progress.total, progress.unit)}"] if progress.total else []
    if progress.known:
        parts.append(f"{progress.known:,} known")
    if progress.best_score is not None:
        params = f" ({quote(one_line(progress.best_params, 80))})" if progress.best_params else ""
        parts.append(f"best {score_text(progress.best_score)}{params}")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.message:
        parts.append(one_line(progress.message, 80))
    return " · ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures that share a cause, in table order; the first one stands for all."""

    failures: tuple[Failure, ...]

    @property
    def first(self) -> Failure:
        """The failure that is shown."""
        return self.failures[0]

    @property
    def candidates(self) -> tuple[int, ...]:
        """Rows of the candidates that failed this way, each once, in table order."""
        return tuple(dict.fromkeys(f.candidate for f in self.failures))


def failure_groups(result: SearchResult) -> list[FailureGroup]:
    """The failures of a search by cause (see `grouped`)."""
    return grouped(result.failures)


def grouped(failures: Iterable[Failure]) -> list[FailureGroup]:
    """Failures by cause, most frequent first; ties in their order.

    Causes that differ only in numbers are one: `C must be > 0, got -1` and `... got -2`.
    """
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(_NUMBER.sub("#", failure.cause), []).append(failure)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [FailureGroup(failures=tuple(group)) for group in ordered]
