"""What the user writes becomes a tree: lists, arrays, tuples, dicts, lists of dicts; every fault at once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from prefect_tune.errors import SpaceError
from prefect_tune.space import SearchSpace, choice, constant, derived, grid, randint, uniform


def paths(space):
    """Paths of the leaves."""
    return [leaf.path for leaf in SearchSpace(space).leaves]


@pytest.mark.parametrize(
    "values", [["a", "b"], np.array(["a", "b"]), [np.str_("a"), "b"]], ids=["list", "array", "numpy text"]
)
def test_a_list_is_a_choice(values):
    """scikit-learn's habit: a list or 1-d array without leaves is a choice of its items."""
    assert SearchSpace({"k": values}) == SearchSpace({"k": choice(["a", "b"])})


def test_ranges_and_nested_lists_are_choices():
    """So are ranges, and lists in nested dicts."""
    assert SearchSpace({"k": range(3), "m": {"C": [1, 2]}}) == SearchSpace(
        {"k": choice([0, 1, 2]), "m": {"C": choice([1, 2])}}
    )


def test_a_list_with_leaves_is_itself():
    """A list or tuple that holds leaves is kept item by item; the path of an item is its position."""
    space = SearchSpace({"layers": [randint(1, 9), 5, {"p": uniform(0, 1)}], "t": (randint(1, 2), "x")})
    assert paths(space) == ["layers/0", "layers/2/p", "t/0"]
    config = space.default()
    assert config["layers"] == [5, 5, {"p": 0.5}]
    assert config["t"] == (2, "x")


@pytest.mark.parametrize(
    "value",
    [5, 0.5, None, True, "text", (0.9, 0.999), {1, 2}, len, {0: 1.0, 1: 5.0}, {}, np.eye(2), b"x"],
    ids=repr,
)
def test_anything_else_is_a_constant(value):
    """Numbers, texts, tuples, functions, dicts with other keys, 2-d arrays: passed through."""
    space = SearchSpace({"held": value})
    assert space.leaves == ()
    np.testing.assert_equal(space.default()["held"], value)


def test_lists_in_options_are_values():
    """Inside an option a list without leaves is a value, also beside leaves; constant() says so elsewhere."""
    sizes = [64, 32]
    space = SearchSpace({"net": choice([{"sizes": sizes, "p": uniform(0, 1)}, sizes]), "c": constant(sizes)})
    assert paths(space) == ["net", "net/0/p"]
    assert space.default() == {"c": [64, 32], "net": {"sizes": [64, 32], "p": 0.5}}
    assert space.from_units({"net": 0.9, "net/0/p": 0.5})["net"] is sizes


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"a/b": uniform(0, 1)}, ["a~1b"]),
        ({"a~b": uniform(0, 1)}, ["a~0b"]),
        ({"a~1b": uniform(0, 1), "a/b": uniform(0, 1)}, ["a~01b", "a~1b"]),
        ({"a": {"b": uniform(0, 1)}, "a/b": uniform(0, 1)}, ["a/b", "a~1b"]),
        ({"b": uniform(0, 1), "B": uniform(0, 1), "é": uniform(0, 1)}, ["B", "b", "é"]),
        ({"": uniform(0, 1)}, [""]),
        ({"n": choice([choice([uniform(0, 1), 2]), {"0": uniform(0, 1)}])}, ["n", "n/0", "n/0/0", "n/1/0"]),
        ([{"a": ["x"]}, {"a": uniform(0, 1)}], ["", "0/a", "1/a"]),
    ],
)
def test_paths(space, expected):
    """Keys joined by `/`, with ~ as ~0 and / as ~1; leaves of an option below its index; sorted."""
    assert paths(space) == expected


def test_conditions_name_every_choice_above():
    """A leaf's conditions are the choices and options it stands below, outermost first."""
    space = SearchSpace({"n": choice([1, {"m": choice([{"w": randint(1, 2)}, 0])}])})
    assert space.leaf("n/1/m/0/w").conditions == (("n", 1), ("n/1/m", 0))
    assert space.leaf("n/1/m").conditions == (("n", 1),)
    assert space.leaf("n").conditions == ()


def test_a_list_of_dicts_is_a_choice_between_them():
    """scikit-learn's list of dicts: one is picked, uniformly, and adds no key of its own."""
    space = SearchSpace([{"kernel": ["rbf"], "gamma": scipy.stats.expon()}, {"kernel": ["linear"]}])
    kinds = [set(space.draw(0, index)) for index in range(60)]
    assert {frozenset(kind) for kind in kinds} == {frozenset({"kernel", "gamma"}), frozenset({"kernel"})}
    assert space.size is None
    assert SearchSpace([{"a": [1, 2]}, {"b": [1, 2, 3]}]).size == 5


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (5, "the space: must be a dict of names and domains"),
        ([], "must be a dict"),
        (uniform(0, 1), "must be a dict"),
        ([{"a": 1}, 2], "must be a dict"),
        ({"a": []}, r"a: choice\(\[\]\): options must not be empty"),
        ({"m": {"a": []}}, "m/a: choice"),
        ({3: uniform(0, 1)}, "the space: keys must be text, got 3; write '3'"),
        ({1: uniform(0, 1), "1": uniform(0, 1)}, "keys must be text, got 1"),  # one path twice
        ({"m": {1: uniform(0, 1)}}, "m: keys must be text, got 1"),
        ({"n": choice([{1: uniform(0, 1)}])}, "n/0: keys must be text beside leaves, got 1"),
        ({"n": choice([{"g": grid([1])}, 2])}, "n/0/g: a grid must not depend on a choice"),
        ({"t": (derived(len), 1)}, "t/0: a derived value must not stand in a tuple"),
    ],
)
def test_what_is_no_space_is_refused(space, text):
    """The error names the path, the rule and the value."""
    with pytest.raises(SpaceError, match=text):
        SearchSpace(space)


def test_all_faults_come_at_once():
    """Several mistakes make one error that lists them all, with the same facts as attributes."""
    with pytest.raises(SpaceError, match="the space has 3 faults:\n- ") as caught:
        SearchSpace({"a": [], "b": [1, 1], 3: uniform(0, 1)})
    assert [fault.place.partition(":")[0] for fault in caught.value.faults] == ["the space", "a", "b"]


def test_a_space_that_contains_itself_is_refused():
    """No endless walk: the error says so."""
    space = {"a": uniform(0, 1)}
    space["b"] = space
    with pytest.raises(SpaceError, match="contains itself"):
        SearchSpace(space)
