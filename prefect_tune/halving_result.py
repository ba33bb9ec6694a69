"""What a halving search leaves: the table of all its iterations, and who came how far."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.results import SearchResult
from prefect_tune.schedules.rungs import Rung

SAMPLES = "n_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The iterations of a halving search and the numbers they follow from.

    Attributes:
        rungs: candidates and resource of each iteration.
        resource: `n_samples`, or the parameter that grows.
        min_resources, max_resources: its bounds.
        n_required: iterations that leave at most `factor` candidates.
        n_possible: iterations that the bounds allow.
        n_remaining: candidates that the last iteration would hand on.
    """

    rungs: tuple[Rung, ...]
    resource: str
    min_resources: int
    max_resources: int
    n_required: int
    n_possible: int
    n_remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvingResult(SearchResult):
    """The outcome of a halving search; its table has one row per candidate and iteration.

    `cost` adds up the iterations: a step of one that the next one needs again counts as known there.

    Attributes:
        ladder: the iterations.
        candidate: for each row of the table, the number of its candidate among those of the first iteration.
    """

    ladder: Ladder
    candidate: tuple[int, ...]

    def standings(self) -> SearchResult:
        """Each candidate once, with the most resources it was given; who came further ranks before."""
        last = dict(zip(self.candidate, range(len(self.candidate)), strict=True))
        rows = [last[number] for number in sorted(last)]
        table = {name: _pick(column, rows) for name, column in self.cv_results.items()}
        if self.ladder.resource == SAMPLES:
            spent = zip(table["n_resources"], table["params"], strict=True)
            table["params"] = [{SAMPLES: int(count), **params} for count, params in spent]
        scores = np.nan_to_num(table["mean_test_score"], nan=-np.inf)
        places = list(zip(-table["iter"], -scores, strict=True))
        ordered = sorted(places)
        table["rank_test_score"] = np.array([1 + bisect_left(ordered, place) for place in places], np.int32)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(SearchResult)}
        values |= {
            "cv_results": table,
            "best_index": None if self.best_index is None else rows.index(self.best_index),
            "failures": tuple(
                dataclasses.replace(failure, candidate=self.candidate[failure.candidate])
                for failure in self.failures
            ),
        }
        return SearchResult(**values)

    def leaderboard(self, limit: int = 10) -> list[dict[str, Any]]:
        """The best `limit` rows of `standings()`: rank, mean and std score, fit seconds, parameters."""
        return self.standings().leaderboard(limit)


def _pick(column: Any, rows: Sequence[int]) -> Any:
    return [column[row] for row in rows] if isinstance(column, list) else column[rows]
