"""How far apart two learning curves may be and still count as equal: distances of pairs that keep crossing.

Rule 1: a pair crosses at e if, going back from e, its order changes and then changes back. Since there are
only two orders, that is: the order has changed at least twice up to e.
Rule 2: a pair counts once, at the last resource in (low, high] that both have reported.
Rule 3: a curve with a loss that is not finite is left out.
Theory: Bohdal et al., ICLR 2023 (PASHA), §4.2.
"""

from __future__ import annotations

import numpy as np


class Crossings:
    """Curves, and the distance of each crossing pair, kept up with each report.

    A report costs one pass over the curves that have come as far; pairs that nothing has changed are not
    looked at again. The reports of one trial come with rising resource.

    Attributes:
        low, high: only distances at resources in (low, high] count.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self._curves = np.full((16, 16), np.nan)  # loss by trial and resource
        self._left_out: set[int] = set()
        self._seats: dict[int, int] = {}  # of the trials that have come beyond low, in the matrix below
        self._distances = np.full((4, 4), np.nan)

    def add(self, trial: int, resource: int, loss: float) -> bool:
        """Whether the distances may have changed by this report of a finite loss."""
        if trial in self._left_out:
            return False
        self._curves = _with_room(self._curves, trial, resource)
        self._curves[trial, resource] = loss
        return self.low < resource <= self.high and self._meet(trial, resource)

    def leave_out(self, trial: int) -> None:
        """Drops the trial's curve, for good."""
        self._left_out.add(trial)
        if trial < len(self._curves):
            self._curves[trial] = np.nan
        if trial in self._seats:
            seat = self._seats[trial]
            self._distances[seat] = self._distances[:, seat] = np.nan

    def move(self, low: int, high: int) -> None:
        """Counts distances at resources in (low, high] from now on."""
        self.low, self.high = low, high
        self._seats.clear()
        self._distances[:] = np.nan
        for resource in range(low + 1, min(high + 1, self._curves.shape[1])):
            for trial in np.flatnonzero(~np.isnan(self._curves[:, resource])):
                self._meet(int(trial), resource)

    def percentile(self, percent: float) -> float | None:
        """The percentile of all distances, linear; None if there are none."""
        found = self._distances[~np.isnan(self._distances)]
        return float(np.percentile(found, percent)) if len(found) else None

    def _meet(self, trial: int, resource: int) -> bool:
        """Sets the trial's distances to all that have reported at the resource; whether there are any."""
        losses = self._curves[:, resource]
        others = np.flatnonzero(~np.isnan(losses))
        others = others[others != trial]
        mine = self._seat(trial)
        if not len(others):
            return False
        seats = np.array([self._seat(int(other)) for other in others])
        distances = np.where(
            self._crossing(trial, others, resource), np.abs(losses[others] - losses[trial]), np.nan
        )
        self._distances[np.maximum(seats, mine), np.minimum(seats, mine)] = distances
        return True

    def _crossing(self, trial: int, others: np.ndarray, resource: int) -> np.ndarray:
        """Whether the trial crosses with each of the others, all having reported at the resource."""
        mine, theirs = self._curves[trial, 1 : resource + 1], self._curves[others, 1 : resource + 1]
        smaller_first = (others > trial)[:, None]  # an equal loss is no worse, seen from the smaller index
        order = np.where(smaller_first, mine > theirs, theirs > mine)
        common = ~(np.isnan(mine) | np.isnan(theirs))
        # Where one of them is silent, the order is that of the last resource that both have reported.
        last = np.maximum.accumulate(np.where(common, np.arange(resource), 0), axis=1)
        last = np.maximum(last, common.argmax(axis=1)[:, None])
        filled = np.take_along_axis(order, last, axis=1)
        return (filled[:, 1:] != filled[:, :-1]).sum(axis=1) >= 2

    def _seat(self, trial: int) -> int:
        seat = self._seats.setdefault(trial, len(self._seats))
        self._distances = _with_room(self._distances, seat, seat)
        return seat


def _with_room(array: np.ndarray, row: int, column: int) -> np.ndarray:
    """The array, grown with nan by doubling until it has the row and the column."""
    rows, columns = array.shape
    if row < rows and column < columns:
        return array
    while row >= rows:
        rows *= 2
    while column >= columns:
        columns *= 2
    larger = np.full((rows, columns), np.nan)
    larger[: array.shape[0], : array.shape[1]] = array
    return larger
