"""Configurations taken apart: by value, type-exact, nothing rounded; the nearest option tells its faults."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import SearchSpace, choice, constant, derived, ordinal, quniform, randint, uniform

SPACE = SearchSpace(
    {
        "lr": uniform(0, 1),
        "q": quniform(0, 1, 0.1),
        "net": choice(
            [{"kind": "mlp", "width": randint(1, 9)}, {"kind": "cnn", "deep": {"n": randint(1, 3)}}, 7]
        ),
        "pair": [randint(1, 3), "x"],
        "epochs": 50,
        "sum": derived(lambda config: config["lr"] + 1),
    }
)
GOOD = {
    "lr": 0.25,
    "q": 0.3,
    "net": {"kind": "cnn", "deep": {"n": 2}},
    "pair": [2, "x"],
    "epochs": 50,
    "sum": 1.25,
}


def test_values_of_a_configuration():
    """Active leaves by path, choices by index; casts applied."""
    assert SPACE.values(GOOD | {"lr": 1}) == {"lr": 1.0, "net": 1, "net/1/deep/n": 2, "pair/0": 2, "q": 0.3}
    assert type(SPACE.values(GOOD | {"lr": np.float64(1)})["lr"]) is float
    assert SPACE.values(GOOD | {"net": 7})["net"] == 2
    SPACE.check(GOOD)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lr": 2}, r"lr: a value must lie in uniform\(0.0, 1.0\), got 2; choose one inside"),
        ({"lr": True}, "lr: a value must lie in"),
        ({"lr": "0.5"}, "lr: a value must lie in"),
        ({"lr": math.nan}, "lr: a value must lie in"),
        ({"q": 0.35}, r"q: a value must lie in quniform\(0.0, 1.0, 0.1\), got 0.35"),
        ({"epochs": 51}, "epochs: this is the constant 50, got 51; leave the key out"),
        ({"epochs": True}, "epochs: this is the constant 50"),
        ({"lrr": 1}, "there is no key 'lrr' here, got 1; the keys are epochs, lr, .* Did you mean 'lr'"),
        ({"net": 8}, "net: a value must be one of choice"),
        ({"net": "mlp"}, "net: a value must be one of choice"),
        ({"net": {"kind": "mlp", "width": 10}}, r"net/0/width: a value must lie in randint\(1, 9\), got 10"),
        ({"net": {"kind": "mlp"}}, "net/0/width: a value is missing"),
        (
            {"net": {"kind": "cnn", "deep": {"n": 1}, "width": 3}},
            "net/1: the key 'width' belongs to option 0, which is not the one chosen, got 3",
        ),
        ({"net": {"kind": "cnn", "deep": 3}}, "net/1/deep: this must be a dict, got 3"),
        ({"pair": [2]}, "pair: this must be a list of 2 items"),
        ({"pair": 2}, "pair: this must be a list of 2 items"),
        ({"pair": [9, "x"]}, "pair/0: a value must lie in"),
        ({"sum": 9.0}, "sum: the derived value here is 1.25, got 9.0; leave the key out"),
    ],
)
def test_what_does_not_fit_is_told(change, text):
    """Path, rule with the domain, value, next move."""
    with pytest.raises(SpaceError, match=text):
        SPACE.check(GOOD | change)


@pytest.mark.parametrize("key", ["lr", "net", "pair", "epochs", "sum"])
def test_a_whole_configuration_misses_nothing(key):
    """check and values want every key; partial ones are for points."""
    with pytest.raises(SpaceError, match=f"{key}: a value is missing, got nothing"):
        SPACE.check({name: value for name, value in GOOD.items() if name != key})


def test_all_faults_are_told_at_once():
    """Three wrong keys, one error."""
    with pytest.raises(SpaceError, match="the configuration has 3 faults"):
        SPACE.check(GOOD | {"lr": 2, "q": 7, "oops": 1})


def test_what_is_no_configuration():
    """A configuration is a dict."""
    with pytest.raises(SpaceError, match="the configuration: this must be a dict, got 5"):
        SPACE.check(5)


def test_categories_are_matched_type_exactly():
    """1, 1.0, True and "1" are four options; nan finds nan; a cast is the last resort."""
    space = SearchSpace({"k": choice([1, 1.0, True, "1", math.nan, None, (1, 2), [1, 2], len])})
    for index, option in enumerate([1, 1.0, True, "1", math.nan, None, (1, 2), [1, 2], len]):
        assert space.values({"k": option}) == {"k": index}
    assert SearchSpace({"k": choice([False, 1.0])}).values({"k": 1}) == {"k": 1}
    with pytest.raises(SpaceError, match="k: a value must be one of"):
        SearchSpace({"k": choice([0, 1])}).values({"k": True})


def test_a_misspelt_option_gets_a_hint():
    """Texts that are nearly an option are named."""
    with pytest.raises(SpaceError, match=r"Did you mean 'relu'\?"):
        SearchSpace({"act": choice(["relu", "tanh"])}).check({"act": "rellu"})


def test_the_first_option_that_fits_is_meant():
    """Leaves may overlap; the first option that takes the value is chosen, plain values before leaves."""
    space = SearchSpace({"x": choice([uniform(0, 1), uniform(0, 5), 0.5])})
    assert [space.values({"x": value})["x"] for value in (0.2, 3, 0.5)] == [0, 1, 2]


def test_options_and_constants_that_are_arrays():
    """Objects without a plain equality are matched by identity of content."""
    space = SearchSpace(
        {"w": choice([np.eye(2), np.zeros(2)]), "c": constant([np.ones(2)]), "o": ordinal(["a"])}
    )
    config = {"w": np.zeros(2), "c": [np.ones(2)], "o": "a"}
    assert space.values(config) == {"o": "a", "w": 1}
