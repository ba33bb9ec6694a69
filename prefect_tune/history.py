"""The story of an adaptive search, and the table that it ends in.

Rule 1: the table is a function of the reports, sorted by bracket and candidate; nothing in it depends on who
reported first, times aside.
Rule 2: names of columns and of history entries are dask-ml's, for those who come from there; scikit-learn's
are beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.races import Drawn, Race
from prefect_tune.schedules import History, Report, competition_ranks, winner


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One score of one candidate, over all splits.

    Attributes:
        row: the candidate.
        level: units of the resource it had had.
        scores: per metric, one score for each split; nan where it failed.
        fit_seconds: what training since its last score took, mean over the splits.
        score_seconds: what scoring took, mean over the splits.
        elapsed: seconds from the start of the search.
        known: whether the store had it.
    """

    row: int
    level: int
    scores: Mapping[str, tuple[float, ...]]
    fit_seconds: float
    score_seconds: float
    elapsed: float
    known: bool


@dataclass(slots=True)
class RaceHistory:
    """All scores of one bracket.

    Attributes:
        race: the bracket.
        events: in the order in which they were decided on: round by round, within a round by candidate.
    """

    race: Race
    events: list[Scored]

    def reports(self, metric: str) -> History:
        """What the schedule sees."""
        names = dict(zip(self.race.rows, self.race.keys, strict=True))
        found: dict[str, list[Report]] = {key: [] for key in self.race.keys}
        for event in self.events:
            found[names[event.row]].append(Report(event.level, mean(event.scores[metric])))
        return found


def mean(scores: Sequence[float]) -> float:
    """The mean over the splits, summed in their order; nan if one of them failed."""
    return float(np.mean(scores))


def winning_row(histories: Sequence[RaceHistory], metric: str) -> int | None:
    """The best of the survivors of all brackets; None when all failed."""
    survivors = []
    for history in histories:
        reports = history.reports(metric)
        alive = history.race.schedule.survivors(reports)
        survivors.append({key: reports[key][-1].score for key in alive if reports[key]})
    found = winner(survivors)
    if found is None:
        return None
    race = histories[found[0]].race
    return race.rows[race.keys.index(found[1])]


def history_entries(
    histories: Sequence[RaceHistory], candidates: Sequence[Mapping[str, Any]], metric: str
) -> tuple[dict[str, Any], ...]:
    """One dict per score, in dask-ml's words, ordered by time and then by bracket and candidate.

    `partial_fit_calls` counts units of the resource, whatever it is.
    """
    entries = []
    for order, history in enumerate(histories):
        positions = {row: i for i, row in enumerate(history.race.rows)}
        for number, event in enumerate(history.events):
            entry = {
                "model_id": history.race.model_id(positions[event.row]),
                "params": dict(candidates[event.row]),
                "partial_fit_calls": event.level,
                "partial_fit_time": event.fit_seconds,
                "score": mean(event.scores[metric]),
                "score_time": event.score_seconds,
                "elapsed_wall_time": event.elapsed,
                "bracket": history.race.name,
                "known": event.known,
            }
            entries.append(((event.elapsed, order, number), entry))
    return tuple(entry for _, entry in sorted(entries, key=lambda pair: pair[0]))


def adaptive_table(
    histories: Sequence[RaceHistory],
    candidates: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    metric: str,
    error_score: float = float("nan"),
) -> dict[str, Any]:
    """The table of an adaptive search, one row per candidate that has a score.

    Args:
        histories: the brackets, in the order of the table.
        candidates: parameters by row.
        metrics: all metrics.
        metric: the one that ranks.
        error_score: what stands where a score failed; it ranks last whatever it is.
    """
    by_row: dict[int, list[Scored]] = {}
    places: dict[int, tuple[Race, int]] = {}
    for history in histories:
        for position, row in enumerate(history.race.rows):
            places[row] = (history.race, position)
        for event in history.events:
            by_row.setdefault(event.row, []).append(event)
    rows = [row for row in places if row in by_row]
    last = {row: by_row[row][-1] for row in rows}
    table: dict[str, Any] = {
        "model_id": _objects([race.model_id(position) for race, position in (places[row] for row in rows)]),
        "params": _objects([dict(candidates[row]) for row in rows]),
        "partial_fit_calls": np.array([last[row].level for row in rows]),
        "bracket": _objects([places[row][0].name for row in rows]),
    }
    for name, seconds in (
        ("partial_fit_time", [[event.fit_seconds for event in by_row[row]] for row in rows]),
        ("score_time", [[event.score_seconds for event in by_row[row]] for row in rows]),
    ):
        table[f"mean_{name}"] = np.array([np.mean(values) for values in seconds])
        table[f"std_{name}"] = np.array([np.std(values) for values in seconds])
    table["mean_fit_time"] = np.array([sum(event.fit_seconds for event in by_row[row]) for row in rows])
    for name in metrics:
        table |= _scores(name, [last[row].scores[name] for row in rows], error_score)
    table["test_score"] = table[f"mean_test_{metric}"]
    table |= _parameters([candidates[row] for row in rows])
    return table


def _scores(metric: str, scores: Sequence[Sequence[float]], error_score: float) -> dict[str, Any]:
    ranks = competition_ranks({str(i): mean(row) for i, row in enumerate(scores)})
    values = np.array(scores, dtype=float)
    values[np.isnan(values)] = error_score
    means = np.array([mean(row) for row in values])
    table = {f"split{i}_test_{metric}": values[:, i] for i in range(values.shape[1])}
    table[f"mean_test_{metric}"] = means
    table[f"std_test_{metric}"] = values.std(axis=1)
    table[f"rank_test_{metric}"] = np.array([ranks[str(i)] for i in range(len(means))], dtype=np.int32)
    return table


def _parameters(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`param_<name>` columns, masked where a candidate has no such parameter, as scikit-learn's."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        column = np.ma.MaskedArray(np.empty(len(rows), dtype=object), mask=True)
        for i, row in enumerate(rows):
            if name in row:
                column[i] = row[name]
        columns[f"param_{name}"] = column
    return columns


def _objects(values: Sequence[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def metadata_done(drawn: Drawn, histories: Sequence[RaceHistory]) -> dict[str, Any]:
    """What was done, in the words of `Drawn.metadata`."""
    entries: list[dict[str, Any]] = []
    for history in histories:
        reached: dict[int, int] = {}
        for event in history.events:
            reached[event.row] = max(event.level, reached.get(event.row, 0))
        entries.append(
            {
                "bracket": history.race.name,
                "n_models": len(reached),
                "partial_fit_calls": sum(reached.values()),
                "decisions": sorted({event.level for event in history.events}),
            }
        )
    total = {
        "n_models": sum(entry["n_models"] for entry in entries),
        "partial_fit_calls": sum(entry["partial_fit_calls"] for entry in entries),
    }
    if "brackets" in drawn.metadata:
        return {**total, "brackets": entries[::-1]}
    return {
        **total,
        "max_iter": max(entries[0]["decisions"], default=0),
        "decisions": entries[0]["decisions"],
    }
