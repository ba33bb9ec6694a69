"""The story of a search and its table: a function of the reports, whoever reported first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.history import (
    RaceHistory,
    Scored,
    adaptive_table,
    history_entries,
    mean,
    metadata_done,
    winning_row,
)
from prefect_tune.races import draw_races

DRAWN = draw_races("hyperband", {"parameters": {"a": list(range(1000))}, "max_iter": 3, "random_state": 0}, 0)


def scored(row: int, level: int, *scores: float, **more: Any) -> Scored:
    other = {"fit_seconds": 1.0, "score_seconds": 0.5, "elapsed": 10.0, "known": False, **more}
    return Scored(row=row, level=level, scores={"m": scores, "n": tuple(-s for s in scores)}, **other)


def histories(*rounds: Scored) -> list[RaceHistory]:
    return [RaceHistory(race, [s for s in rounds if s.row in race.rows]) for race in DRAWN.races]


def test_brackets_of_this_file() -> None:
    """R=3, eta=3: bracket 1 has rungs (3, 1) and (1, 3), bracket 0 has (2, 3)."""
    assert [(race.name, race.rows) for race in DRAWN.races] == [(1, (0, 1, 2)), (0, (3, 4))]


FULL = [
    scored(0, 1, 0.1),
    scored(1, 1, 0.7),
    scored(2, 1, 0.3),
    scored(1, 3, 0.8),
    scored(3, 3, 0.6),
    scored(4, 3, 0.8),
]


def test_winner_is_the_best_survivor() -> None:
    """Ties between brackets go to the more aggressive one; who was dropped cannot win."""
    assert winning_row(histories(*FULL), "m") == 1
    worse = [*FULL[:3], scored(1, 3, 0.2), scored(3, 3, 0.25), scored(4, 3, 0.1)]
    assert winning_row(histories(*worse), "m") == 3  # though candidate 2 once had 0.3
    nobody = [scored(row, 1, math.nan) for row in (0, 1, 2)] + [scored(row, 3, math.nan) for row in (3, 4)]
    assert winning_row(histories(*nobody), "m") is None


def test_table() -> None:
    """One row per candidate with its last score; ranks are global, equal scores share one."""
    table = adaptive_table(histories(*FULL), DRAWN.candidates, ("m", "n"), "m")
    assert list(table["model_id"]) == [
        "bracket=1-0",
        "bracket=1-1",
        "bracket=1-2",
        "bracket=0-0",
        "bracket=0-1",
    ]
    assert table["partial_fit_calls"].tolist() == [1, 3, 1, 3, 3]
    assert table["mean_test_m"].tolist() == table["test_score"].tolist() == [0.1, 0.8, 0.3, 0.6, 0.8]
    assert table["rank_test_m"].tolist() == [5, 1, 4, 3, 1]
    assert table["rank_test_n"].tolist() == [1, 4, 2, 3, 4]
    assert list(table["param_a"]) == [candidate["a"] for candidate in DRAWN.candidates]
    assert table["mean_fit_time"].tolist() == [1, 2, 1, 1, 1]


def test_folds_and_failures() -> None:
    """A score is the mean over the folds in their order, nan when one of them failed; nan ranks last."""
    table = adaptive_table(
        histories(scored(0, 1, 0.1, 0.4), scored(1, 1, 0.9, math.nan)), DRAWN.candidates, ("m",), "m"
    )
    assert table["split0_test_m"].tolist() == [0.1, 0.9]
    assert table["mean_test_m"][0] == np.mean([0.1, 0.4])
    assert table["std_test_m"][0] == np.std([0.1, 0.4])
    assert math.isnan(table["mean_test_m"][1])
    assert table["rank_test_m"].tolist() == [1, 2]
    assert math.isnan(mean((0.5, math.nan)))


@given(st.permutations(FULL))
def test_order_of_arrival_does_not_matter(order: list[Scored]) -> None:
    """Candidates of a round may report in any order: the same table, winner and counts."""
    order = sorted(order, key=lambda event: event.level)  # rounds follow each other
    tables = [adaptive_table(histories(*events), DRAWN.candidates, ("m",), "m") for events in (order, FULL)]
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[1] if "param" not in name)
    assert winning_row(histories(*order), "m") == 1
    assert metadata_done(DRAWN, histories(*order)) == metadata_done(DRAWN, histories(*FULL))


def test_counts() -> None:
    """When nobody fails or stops, what was done is what was planned."""
    done = metadata_done(DRAWN, histories(*FULL))
    assert (done["n_models"], done["partial_fit_calls"]) == (5, 11)
    assert done["brackets"] == DRAWN.metadata["brackets"]
    assert done["partial_fit_calls"] == DRAWN.metadata["partial_fit_calls"]


def test_entries() -> None:
    """dask-ml's words, ordered by time, then by bracket and candidate."""
    late = scored(0, 1, 0.1, elapsed=20.0)
    entries = history_entries(histories(late, *FULL[1:]), DRAWN.candidates, "m")
    assert [entry["model_id"] for entry in entries][-1] == "bracket=1-0"
    assert entries[0]["model_id"] == "bracket=1-1"
    assert set(entries[0]) >= {
        "model_id", "params", "partial_fit_calls", "partial_fit_time", "score", "score_time",
        "elapsed_wall_time", "bracket",
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["m", "n"])
def test_reports(metric: str) -> None:
    """The schedule sees calls and the mean of the ranking metric, under the candidates' keys."""
    history = histories(scored(0, 1, 0.1, 0.3))[0]
    reports = history.reports(metric)
    assert list(reports) == list(history.race.keys)
    (report,) = reports[history.race.keys[0]]
    assert (report.calls, report.score) == (1, np.mean([0.1, 0.3]) * (1 if metric == "m" else -1))
