"""Brackets with their candidates: scikit-learn's draws with dask-ml's seeds, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.model_selection import ParameterGrid, ParameterSampler

from prefect_tune.errors import ScheduleError, SpaceError, UserError
from prefect_tune.races import candidate_keys, draw_races, random_state_of

SPACE = {"alpha": loguniform(1e-6, 1), "penalty": ["l1", "l2"]}


def draw(kind: str, seed: int = 0, **asked: Any) -> Any:
    return draw_races(kind, {"parameters": SPACE, "random_state": 0, **asked}, seed)


def rows(drawn: Any, race: Any) -> list[dict[str, Any]]:
    return [drawn.candidates[row] for row in race.rows]


def test_hyperband_draws_as_dask_ml() -> None:
    """Bracket s samples with first seed + s, the passive one with `random_state` itself.

    RandomState(0).randint(2**31) is 209652396.
    """
    drawn = draw("hyperband", max_iter=9)
    assert [(race.name, len(race.rows)) for race in drawn.races] == [(2, 9), (1, 5), (0, 3)]
    for race, seed in zip(drawn.races, (209652396 + 2, 209652396 + 1, 0), strict=True):
        assert rows(drawn, race) == list(ParameterSampler(SPACE, len(race.rows), random_state=seed))
    passive = draw("incremental", n_initial_parameters=3)
    assert rows(drawn, drawn.races[-1]) == rows(passive, passive.races[0])


def test_metadata() -> None:
    """Models, calls and decisions of each bracket, ascending: the numbers of the published table."""
    metadata = draw("hyperband", max_iter=81).metadata
    assert (metadata["n_models"], metadata["partial_fit_calls"]) == (143, 1581)
    assert [entry["bracket"] for entry in metadata["brackets"]] == [0, 1, 2, 3, 4]
    assert [entry["partial_fit_calls"] for entry in metadata["brackets"]] == [405, 324, 279, 276, 297]
    assert metadata["brackets"][3]["decisions"] == [3, 9, 27, 81]
    halving = draw("successive_halving", n_initial_parameters=9, n_initial_iter=2).metadata
    assert (halving["n_models"], halving["partial_fit_calls"], halving["max_iter"]) == (9, 42, 18)


def test_names_of_models() -> None:
    """`bracket=<s>-<i>` in a Hyperband search, the plain number elsewhere, as in dask-ml."""
    drawn = draw("hyperband", max_iter=9)
    assert [drawn.races[0].model_id(i) for i in (0, 8)] == ["bracket=2-0", "bracket=2-8"]
    assert draw("incremental").races[0].model_id(3) == 3


def test_grid() -> None:
    """`grid` takes all of a grid, in scikit-learn's order; the schedule is made for that many."""
    space = {"a": [1, 2, 3], "b": [True, False]}
    drawn = draw("successive_halving", parameters=space, n_initial_parameters="grid", max_iter=9)
    assert list(drawn.candidates) == list(ParameterGrid(space))
    assert drawn.races[0].schedule.size == 6


def test_fewer_candidates_than_asked_for() -> None:
    """A space of lists that has fewer candidates is taken whole, and counted as it is."""
    with pytest.warns(UserWarning, match="smaller than n_iter"):
        drawn = draw("hyperband", parameters={"a": [1, 2, 3, 4]}, max_iter=9)
    assert [len(race.rows) for race in drawn.races] == [4, 4, 3]
    assert drawn.metadata["n_models"] == 11


def test_keys_are_parameters() -> None:
    """A key depends on the parameters alone; numpy's scalars are Python's, equal candidates are numbered."""
    one, two, three = candidate_keys(
        [{"a": 1, "b": 2.0}, {"b": np.float64(2.0), "a": 1}, {"a": 1.0, "b": 2.0}]
    )
    assert two == f"{one}-1"
    assert three not in (one, two)
    assert candidate_keys([{"a": 1.0, "b": 2.0}]) == (three,)


def test_random_state() -> None:
    """None follows from the seed, so that a second run repeats; an instance is asked for one number."""
    assert random_state_of({}, 3) == random_state_of({"random_state": None}, 3) != random_state_of({}, 4)
    assert random_state_of({"random_state": np.int64(7)}, 0) == 7
    drawn = np.random.RandomState(5).randint(2**31 - 1)
    assert random_state_of({"random_state": np.random.RandomState(5)}, 0) == drawn
    with pytest.raises(SpaceError, match=r"random_state.*True"):
        random_state_of({"random_state": True}, 0)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("hyperband", {"max_iter": 0}, r"^max_iter: .*got 0"),
    ("hyperband", {"aggressiveness": 1.5}, r"^aggressiveness: .*got 1.5"),
    ("successive_halving", {"n_initial_iter": 9, "max_iter": 3}, r"^n_initial_iter: .*max_iter \(3\), got 9"),
    ("successive_halving", {"n_initial_iter": None}, r"^n_initial_iter: .*max_iter"),
    ("inverse_decay", {"decay_rate": -1}, r"^decay_rate: .*got -1"),
    ("incremental", {"fits_per_score": 0}, r"^fits_per_score: .*got 0"),
    ("incremental", {"patience": 1}, r"^patience: .*got 1"),
]


@pytest.mark.parametrize(("kind", "asked", "said"), WRONG)
def test_errors_use_the_parameters_names(kind: str, asked: dict[str, Any], said: str) -> None:
    """A number that plans nothing is refused under the name that the user knows."""
    with pytest.raises(ScheduleError, match=said) as caught:
        draw(kind, **asked)
    assert "max_resource" not in str(caught.value)
    assert isinstance(caught.value, UserError)
