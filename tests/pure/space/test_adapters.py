"""Foreign domains beside ours, wherever a domain may stand; what needs no other library."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from prefect_tune.errors import SpaceError
from prefect_tune.space import Choice, Float, Grid, Integer, SearchSpace, adapt, choice, constant, uniform

FOREIGN = FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"x": FOREIGN}, "x"),
        ({"net": {"x": FOREIGN}}, "net/x"),
        ({"both": [FOREIGN, 3]}, "both/0"),
        ({"both": (FOREIGN, uniform(0, 2))}, "both/0"),
        ({"net": choice([{"x": FOREIGN}, {"y": uniform(0, 1)}])}, "net/0/x"),
        ([{"x": FOREIGN}, {"y": FOREIGN}], "0/x"),
    ],
    ids=["value", "nested", "list", "tuple", "option", "list of dicts"],
)
def test_a_foreign_domain_may_stand_wherever_ours_may(written, path):
    """Values of dicts, members of lists, options of our choices, and keys inside them."""
    assert SearchSpace(written).leaf(path).domain == Float(0.0, 1.0)


def test_what_is_ours_stays_the_same_object():
    """Nothing is copied where nothing is foreign; beside a foreign domain the rest stays as it is."""
    written = {"a": uniform(0, 1), "b": [1, 2], "c": choice(["x", "y"]), "d": constant([1])}
    array = np.arange(3)
    assert adapt(written) is written
    assert adapt(array) is array
    assert adapt(FOREIGN) == Float(0.0, 1.0)
    mixed = adapt({"a": written, "b": FOREIGN})
    assert mixed["a"] is written


def test_every_part_that_cannot_be_said_is_told_at_once():
    """Paths of all of them, as for our own mistakes."""
    endless = FloatDistribution(0.0, 1.0, step=1e-8)
    with pytest.raises(SpaceError, match=r"2 faults:\n- a: .*\n- b/c: "):
        SearchSpace({"a": endless, "b": {"c": endless}})


def test_a_space_that_contains_itself_is_still_told():
    """Going through it ends with the same error as before."""
    written = {"x": FOREIGN}
    written["self"] = written
    with pytest.raises(SpaceError, match="contains itself"):
        SearchSpace(written)


def test_a_space_is_adapted_once():
    """Its definition, its JSON form and its pickle have our domains."""
    space = SearchSpace({"x": FOREIGN, "n": IntDistribution(1, 4)})
    assert space.definition == {"x": Float(0.0, 1.0), "n": Integer(1, 4)}
    assert space.to_json() == {"x": {"uniform": [0.0, 1.0]}, "n": {"randint": [1, 4]}}
    assert pickle.loads(pickle.dumps(space)) == space


def test_a_grid_is_known_without_ray():
    """tune.grid_search returns a dict, {"grid_search": [...]}, which may also be written by hand."""
    space = SearchSpace({"x": {"grid_search": [1, 2]}, "nested": {"y": {"grid_search": ["a", "b"]}}})
    assert space.leaf("x").domain == Grid((1, 2))
    assert space.grid_size == 4


def test_other_dicts_with_that_key_stay():
    """Only a dict with no other key and a list is a grid."""
    space = SearchSpace({"a": {"grid_search": 3}, "b": {"grid_search": [1, 2], "more": 1}})
    assert space.constants == {"a/grid_search": 3, "b/more": 1}
    assert space.leaf("b/grid_search").domain == Choice((1, 2))


def test_no_library_is_imported():
    """Adapters know objects by the names of their classes."""
    program = (
        "import sys; from prefect_tune.space import SearchSpace; SearchSpace({'x': [1, 2]});"
        "print({'hyperopt', 'optuna', 'ray', 'syne_tune', 'ConfigSpace'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
