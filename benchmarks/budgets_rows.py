"""What the budgets have in common: taking turns, and rows of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        quantity: what was measured.
        measured: by us, in words.
        reference: of what does the least that could do, or of a peer, in the same run.
        ratio: ours over the reference, of medians; None without one.
        best_ratio: the same of the best rounds, where a budget is held against it.
        budget: in words; empty where there is none and the row only explains another.
        met: None where there is no budget, or nothing was measured.
        values: the figures behind the words.
    """

    quantity: str
    measured: str
    reference: str = "-"
    ratio: float | None = None
    best_ratio: float | None = None
    budget: str = ""
    met: bool | None = None
    values: dict[str, Any] | None = None

    def line(self, case: int) -> str:
        """The row as text."""
        ratio = "-" if self.ratio is None else f"{self.ratio:.3g}"
        ratio += "" if self.best_ratio is None else f" (best {self.best_ratio:.3g})"
        cells = (self.quantity, self.measured, self.reference, ratio, self.budget or "-", self.verdict)
        return f"({case}) " + " | ".join(cells)

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `-`."""
        return {True: "met", False: "missed", None: "-"}[self.met]

    def plain(self) -> dict[str, Any]:
        """The row as JSON."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of some rounds.

    Attributes:
        rounds: each of them, in order.
    """

    rounds: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rounds)

    @property
    def best(self) -> float:
        """What budgets are held against: others on the machine can only make a round slower."""
        return min(self.rounds)


def timed(rounds: int, **systems: Callable[[], Any]) -> dict[str, Times]:
    """Seconds of each system; they take turns, after one call of each that does not count.

    What a call returns, if it can be called itself, tidies up after it; that is not timed.
    """
    for run in systems.values():
        _tidied(run())
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, run in systems.items():
            start = time.perf_counter()
            tidy = run()
            seconds[name].append(time.perf_counter() - start)
            _tidied(tidy)
    return {name: Times(found) for name, found in seconds.items()}


def _tidied(tidy: Any) -> None:
    if callable(tidy):
        tidy()


def rates(found: dict[str, Times], size: float) -> dict[str, tuple[float, float]]:
    """Of each system what it does in a second, in the median and in its best round."""
    return {name: (size / times.median, size / times.best) for name, times in found.items()}


def said(rate: tuple[float, float], unit: str) -> str:
    """A rate as a cell of the table."""
    digits = 2 if rate[1] < 20 else 0
    return f"{rate[0]:.{digits}f} {unit} (best {rate[1]:.{digits}f})"


def percentile(values: list[float], share: float) -> float:
    """The value that such a share of the values do not exceed.

    >>> percentile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
