"""Short texts for tables and run names."""

from __future__ import annotations

from typing import Any


def short(value: Any, width: int = 60) -> str:
    """`value` as one line of at most `width` characters, for tables and run names."""
    text = " ".join(repr(value).split()) if not isinstance(value, str) else value
    return text if len(text) <= width else text[: width - 1] + "…"


def fold_words(folds: set[int]) -> str:
    """`fold 2`, `folds 0–3`, or `all rows` for the refit."""
    if folds == {-1}:
        return "all rows"
    first, last = min(folds), max(folds)
    return f"fold {first}" if first == last else f"folds {first}–{last}"
