"""A round as task runs: everybody once, about equally long, whatever is known of the costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune import rounds
from prefect_tune.rounds import Pace, TrainUnit, plan_round


def units_of(levels: list[int]) -> tuple[list[TrainUnit], dict[TrainUnit, int]]:
    units = [TrainUnit(row, 0, (level,)) for row, level in enumerate(levels)]
    return units, {unit: unit.path[-1] for unit in units}


def pace_of(per_call: float, per_score: float) -> Pace:
    pace = Pace()
    pace.learn(10, 10 * per_call)
    pace.learn_score(per_score)
    return pace


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=60),
    st.one_of(st.none(), st.floats(1e-5, 5.0)),
    st.integers(1, 16),
)
def test_every_unit_is_in_one_batch(levels: list[int], per_call: float | None, slots: int) -> None:
    """Each unit is in exactly one batch, no batch is empty, and their numbers follow each other."""
    units, ahead = units_of(levels)
    pace = Pace() if per_call is None else pace_of(per_call, 0.001)
    batches = plan_round(units, ahead, pace, slots, first_index=7)
    assert sorted(unit.row for batch in batches for unit in batch.leaves) == list(range(len(levels)))
    assert all(batch.leaves for batch in batches)
    assert [batch.index for batch in batches] == list(range(7, 7 + len(batches)))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.floats(1e-4, 1.0), st.integers(1, 8))
def test_no_batch_is_much_longer_than_another(levels: list[int], per_call: float, slots: int) -> None:
    """The longest batch is longer than the shortest by no more than its own last unit."""
    units, ahead = units_of(levels)
    pace = pace_of(per_call, 0.001)
    batches = plan_round(units, ahead, pace, slots)
    lightest = min(batch.seconds for batch in batches)
    for batch in batches:
        last = min(pace.seconds(ahead[unit]) for unit in batch.leaves)
        assert batch.seconds <= lightest + last + 1e-9


def test_short_work_is_grouped_and_long_work_is_not() -> None:
    """Milliseconds share a task run; seconds get one each."""
    units, ahead = units_of([1] * 20)
    assert len(plan_round(units, ahead, pace_of(0.0001, 0.0001), 4)) == 1
    assert len(plan_round(units, ahead, pace_of(10.0, 0.1), 4)) == 20
    assert len(plan_round(units, ahead, pace_of(0.05, 0.0), 4)) == 8


def test_pace() -> None:
    """Seconds of so many units and a score, from the means so far; unknown before anything was measured."""
    assert Pace().seconds(5) is None
    pace = pace_of(0.5, 0.25)
    pace.learn(10, 15.0)
    assert pace.seconds(4) == pytest.approx(4 * 1.0 + 0.25)


def test_batches_come_back_in_time() -> None:
    """A batch has seconds after which it returns; more of them where no other work waits for workers."""
    units, ahead = units_of([1, 1])
    budgets = {
        crowded: plan_round(units, ahead, Pace(), 4, crowded=crowded)[0].budget for crowded in (True, False)
    }
    assert budgets == {True: rounds.LONGEST, False: rounds.UNCROWDED}


def test_names() -> None:
    """The label says how many candidates a task run trains."""
    units, ahead = units_of([1] * 3)
    labels = [
        b.label for b in plan_round(units, ahead, pace_of(1e-5, 1e-5), 2, label="bracket 2 · to 1 calls")
    ]
    assert labels == ["bracket 2 · to 1 calls · 3 candidates"]
