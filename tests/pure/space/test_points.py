"""points_to_evaluate: partial, nested, by value; filled, checked, without duplicates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import SpaceError
from prefect_tune.space import (
    SearchSpace,
    choice,
    derived,
    grid,
    loguniform,
    randint,
    uniform,
)

SPACE = SearchSpace(
    {
        "lr": loguniform(1e-4, 1),
        "net": choice([{"kind": "mlp", "width": randint(1, 9)}, {"kind": "cnn", "size": choice([3, 5])}]),
        "epochs": 50,
    }
)
MIDDLE = {"epochs": 50, "lr": 0.01, "net": {"kind": "mlp", "width": 5}}


def test_none_is_the_default_configuration():
    """None (the default) is one all-default point; [] is none."""
    assert SPACE.points() == SPACE.points(None) == SPACE.points([{}]) == [MIDDLE] == [SPACE.default()]
    assert SPACE.points([]) == []


def test_pure_grids_have_no_point():
    """Where every leaf is a grid nothing is added; else a grid's default is its first value."""
    assert SearchSpace({"a": grid([1, 2]), "c": 5}).points() == []
    assert SearchSpace({"a": grid([1, 2]), "b": uniform(0, 1)}).points() == [{"a": 1, "b": 0.5}]


@pytest.mark.parametrize(
    ("point", "config"),
    [
        ({"lr": 0.1}, MIDDLE | {"lr": 0.1}),
        ({"lr": 1}, MIDDLE | {"lr": 1.0}),
        ({"net": {}}, MIDDLE),
        ({"net": {"width": 2}}, MIDDLE | {"net": {"kind": "mlp", "width": 2}}),
        ({"net": {"width": 2.0}}, MIDDLE | {"net": {"kind": "mlp", "width": 2}}),
        ({"net": {"kind": "cnn"}}, MIDDLE | {"net": {"kind": "cnn", "size": 3}}),
        ({"net": {"size": 5}}, MIDDLE | {"net": {"kind": "cnn", "size": 5}}),
        ({"epochs": 50}, MIDDLE),
    ],
)
def test_missing_keys_are_filled(point, config):
    """Partial, nested points: what is missing gets its middle, options their first or the one that fits."""
    (filled,) = SPACE.points([point])
    assert filled == config
    assert type(filled["lr"]) is float
    SPACE.check(filled)


SEED = 10  # trials 1 and 2 draw different networks


def test_fill_sample_draws_what_the_trial_would_have():
    """fill="sample": a missing leaf has the value of the trial's own draw, by its index after dropping."""
    points = SPACE.points([{}, {"lr": 0.5}, {"lr": 0.5}, {"net": {"width": 3}}], fill="sample", seed=SEED)
    assert points[0] == SPACE.draw(SEED, 0)
    assert points[1] == SPACE.draw(SEED, 1) | {"lr": 0.5}
    # The third is trial 2 and has the draw of index 2; it differs from the second, so it stays.
    assert points[2] == SPACE.draw(SEED, 2) | {"lr": 0.5}
    assert points[3] == SPACE.draw(SEED, 3) | {"net": {"kind": "mlp", "width": 3}}


def test_fill_sample_takes_the_trials_grid_point():
    """A missing grid leaf gets what the trial's index gives it."""
    space = SearchSpace({"a": grid([1, 2]), "b": uniform(0, 1)})
    assert [config["a"] for config in space.points([{"b": 0.1}, {"b": 0.2}, {"b": 0.3}], fill="sample")] == [
        1,
        2,
        1,
    ]


def test_duplicates_are_dropped_the_first_kept():
    """Equal after filling: the first stays, order is kept."""
    points = SPACE.points([{"lr": 0.5}, {}, {"net": {"width": 5}}, {"lr": 0.01}, {"lr": 0.5, "epochs": 50}])
    assert points == [MIDDLE | {"lr": 0.5}, MIDDLE]


def test_equality_is_type_exact():
    """1, 1.0 and True are three points, nan and nan are one."""
    space = SearchSpace({"k": choice([1, 1.0, True, math.nan])})
    points = space.points([{"k": 1}, {"k": 1.0}, {"k": True}, {"k": math.nan}, {"k": float("nan")}])
    assert [repr(point["k"]) for point in points] == ["1", "1.0", "True", "nan"]


def test_every_fault_of_every_point_is_told():
    """Keys of inactive branches, unknown keys, wrong types, out of domain, other constants: all at once."""
    points = [
        {"net": {"kind": "cnn", "width": 3}},
        {"lrr": 0.1},
        {"lr": True},
        {"lr": 2.0, "epochs": 3},
        {},
        5,
    ]
    with pytest.raises(SpaceError) as caught:
        SPACE.points(points)
    assert [fault.place for fault in caught.value.faults] == [
        "points_to_evaluate[0]: net/1",
        "points_to_evaluate[1]: the configuration",
        "points_to_evaluate[2]: lr",
        "points_to_evaluate[3]: epochs",
        "points_to_evaluate[3]: lr",
        "points_to_evaluate[5]: the configuration",
    ]
    assert isinstance(caught.value, ValueError)


def test_derived_values_are_filled_and_checked():
    """A derived value may be given if it is what its function makes, e.g. in a configuration found before."""
    space = SearchSpace({"a": randint(1, 9), "twice": derived(lambda config: 2 * config["a"])})
    assert space.points([{"a": 3}, {"a": 3, "twice": 6}]) == [{"a": 3, "twice": 6}]
    with pytest.raises(
        SpaceError, match=r"points_to_evaluate\[0\]: twice: the derived value here is 6, got 7"
    ):
        space.points([{"a": 3, "twice": 7}])


def test_a_list_of_dicts_takes_points_of_any_of_them():
    """In a list of dicts the first that fits is meant."""
    space = SearchSpace([{"kernel": ["rbf"], "gamma": loguniform(0.01, 1)}, {"kernel": ["linear", "poly"]}])
    assert space.points([{"kernel": "poly"}, {"gamma": 0.5}]) == [
        {"kernel": "poly"},
        {"gamma": 0.5, "kernel": "rbf"},
    ]


@given(st.lists(st.integers(0, 40), max_size=5))
def test_whole_configurations_come_back(indices):
    """Drawn configurations given as points are the points, duplicates dropped."""
    drawn = [SPACE.draw(4, index) for index in indices]
    assert SPACE.points(drawn) == [SPACE.draw(4, index) for index in dict.fromkeys(indices)]


@pytest.mark.parametrize(
    ("points", "fill", "text"),
    [
        ({"lr": 0.1}, "mid", "points_to_evaluate: it must be a list of dicts"),
        ("lr", "mid", "points_to_evaluate: it must be a list of dicts"),
        ([], "middle", "fill must be one of .*, got 'middle'"),
    ],
)
def test_wrong_arguments(points, fill, text):
    """A single dict is no list of points; fill is mid or sample."""
    with pytest.raises(SpaceError, match=text):
        SPACE.points(points, fill=fill)
