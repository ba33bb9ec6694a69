"""hyperopt's spaces, made ours."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import (
    Choice,
    Float,
    Integer,
    Normal,
    SearchSpace,
    adapt,
    choice,
    hyperopt_points,
    randint,
    uniform,
)

sys.path.append(str(Path(__file__).parent))
from side_by_side import agree

hyperopt = pytest.importorskip("hyperopt", reason="hyperopt is not installed; its spaces cannot be made")
from hyperopt import hp  # noqa: E402
from hyperopt.pyll import scope  # noqa: E402
from hyperopt.pyll.stochastic import sample  # noqa: E402

NUMBERS = {
    "uniform": (hp.uniform("x", -1, 2), Float(-1, 2)),
    "loguniform": (hp.loguniform("x", -5, 1), Float(math.exp(-5), math.exp(1), log=True)),
    "quniform": (hp.quniform("x", 0, 10, 3), Float(0, 10, 3, clip=False)),
    "quniform off": (hp.quniform("x", 0.4, 3.3, 0.5), Float(0.4, 3.3, 0.5, clip=False)),
    "qloguniform": (
        hp.qloguniform("x", -2, 3, 1),
        Float(math.exp(-2), math.exp(3), 1, log=True, clip=False),
    ),
    "normal": (hp.normal("x", 2, 3), Normal(2, 3)),
    "lognormal": (hp.lognormal("x", 0, 0.5), Normal(0, 0.5, log=True)),
    "qnormal": (hp.qnormal("x", 0, 2, 1), Normal(0, 2, 1)),
    "qlognormal": (hp.qlognormal("x", 0, 1, 1), Normal(0, 1, 1, log=True)),
    "randint": (hp.randint("x", 5), Integer(0, 4)),
    "randint from": (hp.randint("x", 2, 5), Integer(2, 4)),
    "uniformint": (hp.uniformint("x", 1, 6), Integer(1, 6, rounding="half")),
    "int": (scope.int(hp.quniform("x", 1, 6, 1)), Integer(1, 6, rounding="half")),
    "by name": (hp.uniform("x", low=-1, high=2), Float(-1, 2)),
}
# No type of ours has these: every number gets its probability.
WEIGHTED = {
    "int of steps": scope.int(hp.quniform("x", 0, 10, 4)),
    "int off": hp.uniformint("x", 0.7, 4.2),
    "int of log": scope.int(hp.qloguniform("x", math.log(16), math.log(256), 16)),
}


def drawn(node, many=2_000):
    """Values that hyperopt draws, as plain Python numbers."""
    rng = np.random.default_rng(3)
    return [
        getattr(value, "item", lambda value=value: value)()
        for value in (sample(node, rng) for _ in range(many))
    ]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_becomes_the_domain_of_the_table(name):
    """Logarithmic bounds are logarithms, steps round without clipping, ints leave the upper bound out."""
    node, domain = NUMBERS[name]
    assert adapt(node) == domain


@pytest.mark.parametrize("name", [*NUMBERS, *WEIGHTED])
def test_numbers_are_drawn_as_hyperopt_draws_them(name):
    """The same values, types and probabilities as hyperopt's own draws."""
    node = WEIGHTED[name] if name in WEIGHTED else NUMBERS[name][0]
    agree(adapt(node), drawn(node))


def test_a_rounded_value_may_leave_its_bounds():
    """hp.quniform rounds without clipping: 12 for [0, 11] by 4, and qloguniform may give 0."""
    assert list(adapt(hp.quniform("x", 0, 11, 4)).members()) == [0.0, 4.0, 8.0, 12.0]
    assert 0.0 in adapt(hp.qloguniform("x", -2, 3, 1)).members()


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        (hp.choice("c", ["a", "b", "c"]), None),
        (hp.pchoice("c", [(0.2, "a"), (0.5, "b"), (0.3, "c")]), (0.2, 0.5, 0.3)),
    ],
    ids=["choice", "pchoice"],
)
def test_choices_are_drawn_as_hyperopt_draws_them(node, weights):
    """Options in their order, with their probabilities."""
    domain = adapt(node)
    assert domain == Choice(("a", "b", "c"), weights)
    agree(domain, ["abc".index(value) for value in drawn(node)])


def svm_or_forest():
    """The space that hyperopt's own introduction nests: branches with numbers of their own."""
    return hp.choice(
        "classifier",
        [
            {"type": "naive_bayes"},
            {
                "type": "svm",
                "C": hp.lognormal("svm_C", 0, 1),
                "kernel": hp.choice(
                    "kernel", [{"ktype": "linear"}, {"ktype": "rbf", "width": hp.lognormal("width", 0, 1)}]
                ),
            },
            {"type": "forest", "depth": hp.choice("depth", [None, hp.qlognormal("depth_n", 3, 1, 1)])},
        ],
    )


def shape(value):
    """The value with every float made 0.0: which branch it is from."""
    if isinstance(value, dict):
        return tuple((key, shape(value[key])) for key in sorted(value))
    return 0.0 if isinstance(value, float) else value


def test_a_nested_space_takes_the_same_branches():
    """A choice of dicts is a space; its branches come as often as hyperopt's."""
    space, rng = SearchSpace(svm_or_forest()), np.random.default_rng(5)
    many = 1_500
    theirs = [shape(sample(svm_or_forest(), rng)) for _ in range(many)]
    mine = [shape(space.draw(1, index)) for index in range(many)]
    assert set(mine) == set(theirs)
    for branch in set(mine):
        # Two shares of 1,500 draws differ by less than 5 standard errors.
        share = theirs.count(branch) / many
        assert abs(mine.count(branch) / many - share) < 5 * math.sqrt(2 * share * (1 - share) / many)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (hp.uniform("x", -10, 10), ["x"]),
        ([hp.uniform("x", 0, 1), hp.normal("y", 0, 1)], ["x", "y"]),
        (hp.choice("a", [1, 2]), ["a"]),
        ({"lr": hp.uniform("other", 0, 1), "ours": uniform(0, 1)}, ["lr", "ours"]),
    ],
    ids=["one", "list", "choice", "dict"],
)
def test_labels_name_what_has_no_key(written, names):
    """A space of hyperopt that is no dict becomes one by its labels; keys win over labels."""
    assert [leaf.path for leaf in SearchSpace(written).leaves] == names


def test_options_hold_constants_tuples_and_lists_as_written():
    """Values without random numbers pass as they are; a list stays a list."""
    space = SearchSpace({"net": hp.choice("net", [(10, 20), [5], None]), "fixed": choice([(1, 2)])})
    assert {repr(config["net"]) for config in space.every()} == {"(10, 20)", "[5]", "None"}


def test_a_label_may_stand_in_several_branches():
    """One number in two options of a choice is two leaves, of which one is active at a time."""
    width = hp.uniform("width", 0, 1)
    space = SearchSpace(hp.choice("m", [{"kind": 1, "width": width}, {"kind": 2, "width": width}]))
    assert [leaf.path for leaf in space.leaves] == ["", "0/width", "1/width"]


def test_a_label_must_not_stand_for_two_things_at_once():
    """hyperopt would draw once for both places; the error says how to copy a value."""
    width = hp.uniform("width", 0, 1)
    with pytest.raises(SpaceError, match=r"b: one random number .*derived"):
        SearchSpace({"a": width, "b": width})
    with pytest.raises(SpaceError, match="b: the label 'x' already stands for something else at a"):
        SearchSpace({"a": hp.uniform("x", 0, 1), "b": hp.uniform("x", 0, 2)})


@pytest.mark.parametrize(
    "node",
    [hp.uniform("x", 0, 1) + 1, scope.int(hp.normal("x", 0, 1)), hp.uniform("x", 0, hp.uniform("y", 1, 2))],
    ids=["sum", "int of a float", "random bound"],
)
def test_expressions_are_refused_with_their_place(node):
    """What no type of ours says is named with its path, and `derived` is the way out."""
    with pytest.raises(SpaceError, match="net/x: hyperopt: "):
        SearchSpace({"net": {"x": node}})


def test_points_give_categories_by_index():
    """What fmin returns is a point: labels to values, options by their index."""
    points = [
        {"classifier": 0},
        {"classifier": 1, "svm_C": 2, "kernel": 1, "width": 0.5},
        {"classifier": 2, "depth": 0},
    ]
    configs = hyperopt_points(svm_or_forest(), points)
    assert configs == [
        {"type": "naive_bayes"},
        {"type": "svm", "C": 2.0, "kernel": {"ktype": "rbf", "width": 0.5}},
        {"type": "forest", "depth": None},
    ]
    assert SearchSpace(svm_or_forest()).points(configs) == configs


def test_points_are_what_hyperopt_makes_of_them():
    """space_eval gives the same configuration for the same point."""
    for point in (
        {"classifier": 1, "svm_C": 0.3, "kernel": 0},
        {"classifier": 2, "depth": 1, "depth_n": 7.0},
    ):
        assert hyperopt_points(svm_or_forest(), [point]) == [hyperopt.space_eval(svm_or_forest(), point)]


def test_points_of_finished_trials_are_lists():
    """Lists of one value, empty ones for other branches; what is missing gets its default."""
    vals = {"classifier": [1], "svm_C": [3.0], "kernel": [0], "width": [], "depth": [], "depth_n": []}
    assert hyperopt_points(svm_or_forest(), [vals]) == [
        {"type": "svm", "C": 3.0, "kernel": {"ktype": "linear"}},
    ]
    assert hyperopt_points({"n": hp.randint("n", 10), "k": randint(1, 3)}, [{}]) == [{"n": 4, "k": 2}]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"classifier": 0, "svm_C": 1.0}, r"points\[0\]: svm_C: this label belongs to another branch"),
        ({"clasifier": 0}, "Did you mean 'classifier'"),
        ({"classifier": "svm"}, "categories by index"),
        ({"classifier": 3}, "categories by index"),
        ({"classifier": 1, "svm_C": -1}, "svm_C: a value must lie in"),
    ],
)
def test_wrong_points_are_told(point, message):
    """Labels of other branches, unknown labels, and values outside."""
    with pytest.raises(SpaceError, match=message):
        hyperopt_points(svm_or_forest(), [point])


def test_fmin_and_the_adapted_space_agree_on_its_best():
    """The point that fmin returns is a configuration of our space."""
    best = hyperopt.fmin(
        lambda config: len(str(config)),
        svm_or_forest(),
        algo=hyperopt.rand.suggest,
        max_evals=20,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )
    SearchSpace(svm_or_forest()).check(hyperopt_points(svm_or_forest(), [best])[0])
