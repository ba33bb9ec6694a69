"""TPE that learns from one level at a time, as BOHB (algorithm reference 5.3)."""

from __future__ import annotations

import math

import pytest

from prefect_tune.samplers.by_rung import best_level, loss_at, rows_of
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.tpe import TPE
from prefect_tune.samplers.twins import twins_of
from prefect_tune.space import SearchSpace, uniform
from prefect_tune.trials import generator

LEVELS = (1, 3, 9)
PLANE = SearchSpace({"x": uniform(0, 1), "y": uniform(0, 1)})


def climbers(record, counts):
    """Stopped trials: so many of them have a loss at each level."""
    most = max(counts.values())
    return [
        record(
            i, PLANE.draw(0, i), "stopped", losses={level: float(i) for level, n in counts.items() if i < n}
        )
        for i in range(most)
    ]


def tails(question, records, **fields):
    """A question whose coin does not fall on the prior."""
    index = next(i for i in range(len(records), 999) if generator(0, "coin", i).random() >= 1 / 3)
    return question(PLANE, records, index, levels=LEVELS, **fields)


@pytest.mark.parametrize(
    ("counts", "least", "level"),
    [
        ({1: 20, 3: 3}, 20, 1),
        ({1: 25, 3: 20, 9: 9}, 20, 3),
        ({1: 25, 3: 20, 9: 9}, 9, 9),
        ({1: 19, 3: 3}, 20, None),
    ],
)
def test_the_highest_level_with_enough_losses(record, counts, least, level):
    """The two examples of the reference, and both sides of them."""
    assert best_level(climbers(record, counts), LEVELS, least) == level


def test_by_default_a_level_needs_one_loss_more_than_there_are_leaves(question, record):
    """Two leaves: three losses."""
    twins = twins_of(PLANE)
    for count, enough in ((2, False), (3, True)):
        records = climbers(record, {1: count})
        assert (rows_of(tails(question, records), twins, None) is not None) == enough


@pytest.mark.parametrize(
    ("losses", "level", "expected"),
    [({}, 1, math.inf), ({}, 3, None), ({1: 0.5}, 1, 0.5), ({1: 0.5}, 3, math.inf), ({1: 0.5}, 9, None)],
)
def test_a_failure_is_an_infinite_loss_at_the_level_it_did_not_reach(record, losses, level, expected):
    """What it had reported below stays; above nothing is known."""
    assert loss_at(record(0, {}, "failed", losses=losses), level, LEVELS) == expected


def test_failures_count_for_the_choice_of_the_level(record):
    """Nineteen losses and one failure make twenty."""
    records = climbers(record, {1: 19})
    assert best_level([*records, record(19, PLANE.draw(0, 19), "failed")], LEVELS, 20) == 1


def test_the_study_holds_that_level_only(question, record, ended):
    """COMPLETE with the loss there; trials under way RUNNING; those that ended below are left out."""
    records = [
        record(0, PLANE.draw(0, 0), "stopped", losses={1: 0.0}),
        record(1, PLANE.draw(0, 1), "paused", losses={1: 5.0, 3: 4.0}),
        record(2, PLANE.draw(0, 2), "running", losses={1: 5.0, 3: 3.0}, pending=(9,)),
        record(3, PLANE.draw(0, 3), "running", losses={1: 5.0}, pending=(3,)),
        record(4, PLANE.draw(0, 4), "pending", pending=(1,)),
        record(5, PLANE.draw(0, 5), "failed", losses={1: 5.0}),
        record(6, PLANE.draw(0, 6), "completed", losses={1: 9.0, 3: 2.0, 9: 1.0}, final=1.0),
        record(7, PLANE.draw(0, 7), "failed"),
    ]
    rows = rows_of(tails(question, records), twins_of(PLANE), 4)
    assert [(row.index, row.state, row.value, row.losses) for row in rows] == [
        (1, "COMPLETE", 4.0, {}),
        (2, "COMPLETE", 3.0, {}),
        (3, "RUNNING", None, {}),
        (4, "RUNNING", None, {}),
        (5, "COMPLETE", math.inf, {}),
        (6, "COMPLETE", 2.0, {}),
    ]


def test_a_third_is_drawn_from_the_space(question, record):
    """Exactly where the trial's own coin says so; the others come from the model."""
    records = climbers(record, {1: 15, 3: 9})
    sampler, drawn = TPE(fidelity="rung"), []
    for index in range(15, 135):
        asked = question(PLANE, records, index, levels=LEVELS)
        drawn.append(sampler.suggest(asked) == Random().suggest(asked))
        assert drawn[-1] == (generator(0, "coin", index).random() < 1 / 3)
    assert 28 <= sum(drawn) <= 52  # 40 expected


def test_without_enough_losses_the_space_is_drawn_from(question, record):
    """The start is over, but no level has its three losses yet."""
    records = [record(i, PLANE.draw(0, i), "stopped") for i in range(10)]
    asked = tails(question, records)
    assert TPE(fidelity="rung").suggest(asked) == Random().suggest(asked)


def test_the_level_leads_not_the_final_loss(question, record):
    """The highest level with enough losses decides, against a tempting one below."""
    records = [
        record(
            i,
            {"x": (i + 0.5) / 40, "y": 0.5},
            "stopped",
            losses={1: i / 40} | ({3: -i / 40} if i >= 20 else {}),
        )
        for i in range(40)
    ]
    answers = [
        TPE(fidelity="rung").suggest(question(PLANE, records, index, levels=LEVELS))["x"]
        for index in range(40, 80)
        if generator(0, "coin", index).random() >= 1 / 3
    ]
    assert sum(x > 0.6 for x in answers) > 0.8 * len(answers)
