"""The space as a whole: draws, exact u, conditions, grids, counts, identity; golden values are pinned."""

from __future__ import annotations

import copy
import doctest
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import SpaceError, Uncacheable
from prefect_tune.identity.encode import hexdigest
from prefect_tune.space import (
    Grid,
    SearchSpace,
    choice,
    constant,
    derived,
    finrange,
    grid,
    lograndint,
    loguniform,
    normal,
    ordinal,
    quniform,
    randint,
    tree,
    uniform,
)
from prefect_tune.trials import generator

NET = {
    "lr": loguniform(1e-4, 1),
    "net": choice(
        [{"kind": "mlp", "width": randint(1, 9), "act": choice(["relu", "tanh"])}, {"kind": "cnn"}]
    ),
    "epochs": 50,
}

DOMAINS = st.sampled_from(
    [
        uniform(0, 1),
        loguniform(1e-3, 10),
        quniform(0, 2, 0.1),
        normal(0, 1),
        randint(-3, 3),
        lograndint(1, 50),
        ordinal([1, 2, 8]),
        finrange(0, 1, 5),
        grid(["p", "q"]),
        choice(["a", "b", 3], weights=[1, 0, 2]),
        scipy.stats.expon(),
        [1, 2.5, None],
        (randint(1, 2), "x"),
        {"deep": uniform(0, 1), "held": 3},
        constant([1, 2]),
        7,
    ]
)
KEYS = st.text("ab/~0", min_size=1, max_size=3)
OPTIONS = st.integers(1, 3).flatmap(
    lambda n: st.lists(
        st.dictionaries(KEYS, DOMAINS.filter(lambda d: not isinstance(d, Grid)), max_size=2),
        min_size=n,
        max_size=n,
    )
)
BRANCHES = OPTIONS.map(lambda dicts: choice([{"kind": i, **part} for i, part in enumerate(dicts)]))
SPACES = st.dictionaries(KEYS, DOMAINS | BRANCHES, max_size=5).map(SearchSpace)


def test_the_docstring_is_true():
    """The examples in the module run."""
    assert doctest.testmod(tree).failed == 0


FIRST = {"a": 0.3782655557918617, "b/c": 171283, "n": {"x": 0.06298868225241168}}
SECOND = {"a": 0.5771680096158505, "b/c": 267595, "n": {"x": 0.006973400467704116}}


def test_golden_draws():
    """Pinned: trial index, path and seed alone decide. A change here is a change of every search."""
    space = SearchSpace({"a": uniform(0, 1), "b/c": randint(0, 10**6), "n": {"x": loguniform(1e-6, 1)}})
    first, second = space.draw(0, 0), space.draw(7, 3, attempt=2)
    assert first == FIRST | {"n": {"x": pytest.approx(FIRST["n"]["x"], rel=1e-14)}}
    assert second == SECOND | {"n": {"x": pytest.approx(SECOND["n"]["x"], rel=1e-14)}}


def test_a_leaf_uses_one_number_of_its_own_generator():
    """u = generator(seed, "config", index, path, attempt).random(), and nothing else."""
    for index, attempt in itertools.product(range(3), range(2)):
        u = generator(5, "config", index, "net/0/width", attempt).random()
        space = SearchSpace({"net": choice([{"width": uniform(0, 1), "k": [1, 2]}])})
        assert space.draw(5, index, attempt)["net"]["width"] == u


@given(SPACES, st.integers(0, 2**40), st.integers(0, 50))
def test_a_draw_is_one_of_the_space(space, seed, index):
    """A drawn configuration passes the check, and so does the default; the same draw is the same again."""
    config = space.draw(seed, index)
    space.check(config)
    space.check(space.default())
    assert space.draw(seed, index) == config


@given(SPACES, st.integers(0, 50))
def test_values_and_assemble_are_inverse(space, index):
    """assemble(values(config)) is the configuration again; values has exactly the active leaves."""
    config = space.draw(1, index)
    values = space.values(config)
    assert space.assemble(values) == config
    assert list(values) == [leaf.path for leaf in space.leaves if leaf.active(values)]


@given(SPACES, st.integers(0, 9))
def test_units_lead_back(space, index):
    """from_units(unit of each value) gives the configuration again; floats up to rounding."""
    values = space.values(space.draw(2, index))
    units = {leaf.path: 0.5 for leaf in space.leaves}
    units |= {path: space.leaf(path).domain.unit(value) for path, value in values.items()}
    again = space.values(space.from_units(units))
    assert set(again) == set(values)
    for path, value in values.items():
        expected = pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
        assert again[path] == expected


@given(st.dictionaries(KEYS, DOMAINS, min_size=1, max_size=4), st.integers(0, 20), st.data())
def test_keys_do_not_disturb_each_other(space, index, data):
    """Adding or removing a key never changes the values of the others; nor does the order of writing."""
    kept = data.draw(st.sampled_from(sorted(space)))
    whole, alone = SearchSpace(space), SearchSpace({kept: space[kept]})
    turned = SearchSpace(dict(reversed(space.items())))
    assert turned.draw(3, index) == whole.draw(3, index)
    assert list(turned.draw(3, index)) == sorted(space)
    if whole.grid_size is None:
        assert whole.draw(3, index)[kept] == alone.draw(3, index)[kept]


@given(SPACES)
def test_pickle_and_copy(space):
    """A space travels: what comes back is equal, and so are its identity and its draws."""
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert hash(again) == hash(space)
    assert copy.deepcopy(space) == space
    assert hexdigest("s", again.identity()) == hexdigest("s", space.identity())
    assert again.draw(0, 0) == space.draw(0, 0)


def test_only_active_leaves_are_stored():
    """Leaves of options that are not chosen are neither drawn nor in the configuration or its values."""
    space = SearchSpace(NET)
    units = {"lr": 0.5, "net": 0.9, "net/0/width": 0.5, "net/0/act": 0.5}
    config = space.from_units(units)
    assert config == {"epochs": 50, "lr": pytest.approx(0.01), "net": {"kind": "cnn"}}
    assert set(space.values(config)) == {"lr", "net"}
    assert space.conditional
    assert not SearchSpace({"lr": uniform(0, 1), "k": ["a", "b"]}).conditional


def test_edges_of_u():
    """u is clipped to [2^-53, 1 - 2^-53]: 0 and 1 are allowed and give finite values."""
    space = SearchSpace({"x": normal(0, 1)})
    assert math.isfinite(space.from_units({"x": 0.0})["x"])
    assert space.from_units({"x": 0.0})["x"] == pytest.approx(-space.from_units({"x": 1.0})["x"])


def test_grids_go_through_their_product():
    """Trial i has point i modulo the size, sorted paths, the last fastest; other leaves are drawn anew."""
    space = SearchSpace({"b": grid([1, 2, 3]), "a": grid(["x", "y"]), "c": uniform(0, 1)})
    configs = [space.draw(0, index) for index in range(12)]
    expected = list(itertools.product(["x", "y"], [1, 2, 3])) * 2
    assert [(config["a"], config["b"]) for config in configs] == expected
    assert len({config["c"] for config in configs}) == 12
    assert space.grid_size == 6
    assert SearchSpace({"c": uniform(0, 1)}).grid_size is None


@pytest.mark.parametrize(
    ("space", "size"),
    [
        ({}, 1),
        ({"a": 5}, 1),
        ({"a": uniform(0, 1)}, None),
        ({"a": uniform(2, 2), "b": [1, 2]}, 2),
        ({"a": randint(1, 3), "b": quniform(0, 1, 0.1)}, 33),
        ({"a": choice([{"b": randint(1, 4)}, {"c": [1, 2]}, 0]), "d": [1, 2]}, 12),
        ({"a": choice([1, 2, 3], weights=[1, 0, 1])}, 2),
        ({"a": choice([1, {"x": normal(0, 1)}])}, None),
        ({"a": scipy.stats.randint(0, 4), "b": (randint(1, 2), randint(1, 3))}, 24),
        ({"a": grid([1, 2]), "b": derived(lambda config: 0)}, 2),
    ],
)
def test_size(space, size):
    """Products over keys, sums over the options that can be drawn; None if some leaf is continuous."""
    space = SearchSpace(space)
    assert space.size == size
    if size is not None:
        every = list(space.every())
        assert len(every) == size
        assert len({repr(config) for config in every}) == size
        for config in every:
            space.check(config)


def test_every_in_the_order_of_scikit_learn():
    """Keys sorted, the last varies fastest, dicts in order: as ParameterGrid goes."""
    model_selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
    for written in ({"b": [1, 2], "a": ["x", "y", "z"]}, [{"a": [1, 2]}, {"c": [3], "b": [4, 5]}]):
        assert list(SearchSpace(written).every()) == list(model_selection.ParameterGrid(written))


def test_an_infinite_space_has_no_list():
    """every() of a continuous space names the leaf."""
    with pytest.raises(SpaceError, match=r"lr: loguniform.* is not finite"):
        SearchSpace(NET).every()


def test_a_space_is_frozen():
    """Neither attributes nor what the user keeps can change a space."""
    written = {"n": {"a": [1, 2]}}
    space = SearchSpace(written)
    written["n"]["a"].append(3)
    written["n"]["b"] = uniform(0, 1)
    space.definition["n"]["c"] = 5
    assert space.size == 2
    assert space == SearchSpace({"n": {"a": [1, 2]}})
    with pytest.raises(AttributeError, match="frozen"):
        space.leaves = ()
    with pytest.raises(AttributeError, match="frozen"):
        del space.leaves
    with pytest.raises(TypeError):
        space.constants["a"] = 1


def test_the_repr_is_code():
    """The repr shows the space as one would write it."""
    assert repr(SearchSpace({"lr": uniform(0, 1), "k": ["a"], "e": 5})) == (
        "SearchSpace({'lr': uniform(0.0, 1.0), 'k': choice(['a']), 'e': 5})"
    )


def test_a_space_of_a_space_is_the_same():
    """SearchSpace(SearchSpace(...)) is equal to the inner one."""
    assert SearchSpace(SearchSpace(NET)) == SearchSpace(NET)


@pytest.mark.parametrize(
    "other",
    [
        NET | {"lr": loguniform(1e-4, 2)},
        NET | {"epochs": 50.0},
        NET | {"epochs": "50"},
        NET | {"x": 1},
        {"lr": NET["lr"], "net": NET["net"]},
        NET | {"net": choice([{"kind": "cnn"}])},
        NET | {"net": choice(NET["net"].options, weights=[1, 2])},
        NET | {"lr": quniform(0, 1, 0.1)},
        NET | {"lr": derived(lambda config: 1)},
        NET | {"lr": scipy.stats.expon()},
    ],
)
def test_identities_differ(other):
    """Whatever can change a configuration changes the identity, type-exactly."""
    assert hexdigest("s", SearchSpace(other).identity()) != hexdigest("s", SearchSpace(NET).identity())
    assert SearchSpace(other) != SearchSpace(NET)


def test_identities_do_not_depend_on_order():
    """The order in which keys are written does not count; that of options does."""
    turned = dict(reversed(NET.items()))
    assert hexdigest("s", SearchSpace(turned).identity()) == hexdigest("s", SearchSpace(NET).identity())
    assert SearchSpace({"a": [1, 2]}) != SearchSpace({"a": [2, 1]})


def test_objects_have_an_identity_or_say_so():
    """Functions and classes count by their code; an object without identity makes encoding fail."""
    first, second = (SearchSpace({"f": choice([kind, str])}).identity() for kind in (len, abs))
    assert hexdigest("s", first) != hexdigest("s", second)
    with pytest.raises(Uncacheable):
        hexdigest("s", SearchSpace({"f": choice([object(), 1])}).identity())


def test_missing_entries_name_the_leaf():
    """assemble and from_units say which active leaf has no entry; inactive and unknown ones do not matter."""
    space = SearchSpace(NET)
    with pytest.raises(SpaceError, match="net: values has no entry for this active leaf"):
        space.assemble({"lr": 0.1})
    with pytest.raises(SpaceError, match="lr: units has no entry"):
        space.from_units({"net": 0.9})
    assert space.assemble({"lr": 0.1, "net": 1, "net/0/width": 3, "other": 1})["net"] == {"kind": "cnn"}


def test_leaf_by_path():
    """leaf(path) finds a leaf, and says what there is otherwise."""
    assert SearchSpace(NET).leaf("net/0/width").domain == randint(1, 9)
    with pytest.raises(SpaceError, match=r"no such leaf; it has lr, net.* Did you mean 'lr'"):
        SearchSpace(NET).leaf("lrr")


def test_draws_follow_their_domain():
    """Over many trials each leaf follows its law (Kolmogorov-Smirnov, seeds fixed)."""
    space = SearchSpace({"a": uniform(0, 1), "b": normal(2, 3), "c": loguniform(1e-3, 1)})
    draws = [space.draw(11, index) for index in range(600)]
    laws = {"a": scipy.stats.uniform(), "b": scipy.stats.norm(2, 3), "c": scipy.stats.loguniform(1e-3, 1)}
    for key, law in laws.items():
        assert scipy.stats.kstest([draw[key] for draw in draws], law.cdf).pvalue > 0.01
    correlation = np.corrcoef([draw["a"] for draw in draws], [draw["b"] for draw in draws])[0, 1]
    assert abs(correlation) < 0.12
