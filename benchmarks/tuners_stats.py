"""What runs of several seeds say together: medians, and how far chance could move them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

Step = tuple[float, float, float]  # (time, epochs trained by all, smallest loss so far)
DRAWS = 2000


def loss_after(steps: Sequence[Step], epochs: float) -> float:
    """The smallest loss that was known once so many epochs had been trained; infinite before the first.

    >>> loss_after([(1, 1, 0.7), (4, 9, 0.5)], 8), loss_after([(1, 1, 0.7), (4, 9, 0.5)], 9)
    (0.7, 0.5)
    """
    place = bisect_right([step[1] for step in steps], epochs)
    return steps[place - 1][2] if place else float("inf")


def first_below(steps: Sequence[Step], loss: float) -> float:
    """The time at which a loss was reached; infinite if it never was.

    >>> first_below([(1, 1, 0.7), (4, 9, 0.5)], 0.6)
    4
    """
    return next((time for time, _, value in steps if value <= loss), float("inf"))


def interval(values: Any, statistic: str = "median", share: float = 0.95) -> tuple[Any, Any]:
    """The bootstrap interval of a median or mean over the first axis (seeds); the same at every call.

    >>> [bool(each == 2.0) for each in interval([2.0, 2.0, 2.0])]
    [True, True]
    >>> low, high = interval(range(101))
    >>> bool(low < 50 < high)
    True
    """
    import numpy as np

    values = np.asarray(values, dtype=float)
    of = np.median if statistic == "median" else np.mean
    picks = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    found = np.array([of(values[pick], axis=0) for pick in picks])
    tail = (1 - share) / 2 * 100
    low, high = np.percentile(found, [tail, 100 - tail], axis=0)
    return low, high


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median with its interval, mean, extremes."""
    import numpy as np

    low, high = interval(values)
    return {
        "median": float(np.median(values)),
        "low": float(low),
        "high": float(high),
        "mean": float(np.mean(values)),
        "least": float(np.min(values)),
        "most": float(np.max(values)),
    }


def mean_ranks(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each name's mean rank over the rows, 1 the smallest value; equal values share the mean of their ranks.

    >>> mean_ranks([{"a": 0.1, "b": 0.2, "c": 0.2}, {"a": 0.5, "b": 0.1, "c": 0.9}])
    {'a': 1.5, 'b': 1.75, 'c': 2.75}
    """
    found: dict[str, list[float]] = {name: [] for name in rows[0]}
    for row in rows:
        for name, value in row.items():
            below = sum(other < value for other in row.values())
            same = sum(other == value for other in row.values())
            found[name].append(below + (same + 1) / 2)
    return {name: sum(ranks) / len(ranks) for name, ranks in found.items()}
