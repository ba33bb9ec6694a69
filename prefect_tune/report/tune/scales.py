"""Where a parameter's values lie on an axis: even, by logarithm, or as categories.

A result knows values, not domains, so the scale is read off the values: if three in ten of the first ones lie
below a tenth of the largest, they were drawn by their logarithm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.report.parameters import MISSING, is_numeric
from prefect_tune.report.text import value_text

_CATEGORIES = 8
_WIDE = 20  # numbers closer together than this are drawn evenly
_EARLY = 20  # values that come before the sampler has learned much
_TURN = 0.6180339887  # multiples of the golden ratio spread any number of points evenly, without chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The places of a parameter's values on an axis.

    Attributes:
        name: of the parameter.
        at: one place for each trial, nan where it has no value.
        low, high: the ends of the axis; never equal.
        ticks: (place, label).
        names: of the categories, which lie at 0, 1, 2, ...; empty for numbers.
        log: whether places are decimal logarithms.
    """

    name: str
    at: np.ndarray
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    names: tuple[str, ...] = ()
    log: bool = False

    @property
    def present(self) -> np.ndarray:
        """Which trials have a value."""
        return ~np.isnan(self.at)

    def spread(self) -> np.ndarray:
        """The places, points of one category side by side; the first of each is in the middle."""
        if not self.names:
            return self.at
        nth: Counter[float] = Counter()
        moved = []
        for place in self.at.tolist():
            moved.append(place + 0.5 * ((nth[place] * _TURN + 0.5) % 1 - 0.5))
            nth[place] += 1
        return np.array(moved)


def scale_of(name: str, values: Sequence[Any], ticks: int = 5) -> Scale:
    """The scale of a parameter.

    Args:
        name: of the parameter.
        values: one for each trial, MISSING where it has none.
        ticks: about how many marks a scale of numbers has.
    """
    present = [value for value in values if value is not MISSING]
    if not is_numeric(present):
        return _categories(name, values)
    numbers = np.array([math.nan if value is MISSING else float(value) for value in values])
    if _by_logarithm(np.array([float(value) for value in present])):
        return _logarithmic(name, numbers, ticks)
    return _even(name, numbers, ticks, whole=all(isinstance(value, int) for value in present))


def shortened(texts: Sequence[str], width: int) -> list[str]:
    """The texts, at most so long; those that would become alike are cut in the middle.

    >>> shortened(["transformer encoder", "mlp"], 9), shortened(["layer number 10", "layer number 11"], 9)
    (['transfor…', 'mlp'], ['laye…r 10', 'laye…r 11'])
    """
    cut = [text if len(text) <= width else text[: width - 1] + "…" for text in texts]
    if len(set(cut)) == len(set(texts)):
        return cut
    head = width // 2
    return [t if len(t) <= width else f"{t[:head]}…{t[head + 1 - width :]}" for t in texts]


def log_ticks(low: float, high: float, count: int) -> tuple[tuple[float, str], ...]:
    """Marks between two decimal logarithms: powers of ten, or 1, 2 and 5 of each where these are few."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first >= 2:
        step = math.ceil((last - first + 1) / count)
        return tuple((float(p), f"{10.0**p:.4g}") for p in range(first, last + 1, step))
    steps = (1, 3) if high - low > 1.2 else (1, 2, 5)
    found = [10.0**p * step for p in range(math.floor(low), last + 1) for step in steps]
    return tuple((math.log10(v), f"{v:.4g}") for v in found if low - 1e-9 <= math.log10(v) <= high + 1e-9)


def _by_logarithm(numbers: np.ndarray) -> bool:
    if numbers.min() <= 0 or numbers.max() < _WIDE * numbers.min():
        return False
    early = numbers[:_EARLY]
    return bool((early < numbers.max() / 10).mean() >= 0.3)


def _logarithmic(name: str, numbers: np.ndarray, count: int) -> Scale:
    at = np.log10(numbers)
    low, high = float(np.nanmin(at)), float(np.nanmax(at))
    pad = 0.04 * (high - low)
    ticks = log_ticks(low - pad, high + pad, count)
    return Scale(name=name, at=at, low=low - pad, high=high + pad, ticks=ticks, log=True)


def _even(name: str, at: np.ndarray, count: int, *, whole: bool) -> Scale:
    from matplotlib.ticker import MaxNLocator

    low, high = float(np.nanmin(at)), float(np.nanmax(at))
    pad = 0.04 * (high - low) or max(0.5, 0.05 * abs(high))
    marks: Sequence[float] = np.unique(at[~np.isnan(at)]).tolist()
    if len(marks) > count or (len(marks) > 1 and np.diff(marks).min() < 0.1 * (high - low)):
        found = MaxNLocator(nbins=count, integer=whole).tick_values(low, high)
        marks = [float(mark) for mark in found if low - pad <= mark <= high + pad]
    ticks = tuple((mark, f"{mark:.4g}") for mark in marks)
    return Scale(name=name, at=at, low=low - pad, high=high + pad, ticks=ticks)


def _categories(name: str, values: Sequence[Any]) -> Scale:
    """Each category at a place of its own, numbers in their order; rare ones share the last place."""
    labels = [None if value is MISSING else value_text(value) for value in values]
    known = Counter(label for label in labels if label is not None)
    names = sorted(known, key=_natural)
    other = ""
    if len(names) > _CATEGORIES:
        kept = {label for label, _ in known.most_common(_CATEGORIES - 1)}
        other = f"{len(names) - len(kept)} others"
        names = [*(label for label in names if label in kept), other]
    place = {label: float(i) for i, label in enumerate(names)}
    at = [math.nan if label is None else place.get(label, len(names) - 1.0) for label in labels]
    return Scale(
        name=name,
        at=np.array(at),
        low=-0.6,
        high=len(names) - 0.4,
        ticks=tuple((float(i), label) for i, label in enumerate(names)),
        names=tuple(names),
    )


def _natural(label: str) -> tuple[bool, float, str]:
    """Sorts numbers as numbers, before words."""
    try:
        number = float(label)
    except ValueError:
        return True, 0.0, label
    return (False, number, label) if math.isfinite(number) else (True, 0.0, label)
