"""ConfigSpace's spaces, made ours: hyperparameters, conditions, forbidden clauses."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import chi2_contingency

from prefect_tune.errors import SpaceError
from prefect_tune.identity import encode
from prefect_tune.space import Choice, Float, Integer, Normal, Ordinal, SearchSpace, adapt, resource_of
from prefect_tune.trials import generator

sys.path.append(str(Path(__file__).parent))
from side_by_side import agree

CS = pytest.importorskip("ConfigSpace", reason="ConfigSpace is not installed; its spaces cannot be made")

PARTS = {
    "uniform": (CS.UniformFloatHyperparameter("x", -1, 2), Float(-1, 2)),
    "log": (CS.UniformFloatHyperparameter("x", 1e-4, 10, log=True), Float(1e-4, 10, log=True)),
    "int": (CS.UniformIntegerHyperparameter("x", -2, 5), Integer(-2, 5)),
    "normal": (CS.NormalFloatHyperparameter("x", 1, 2, lower=-1, upper=4), Normal(1, 2, low=-1, high=4)),
    "ordinal": (CS.OrdinalHyperparameter("x", ["s", "m", "l"]), Ordinal(("s", "m", "l"), "equal")),
}
LAWS = {
    "beta": CS.BetaFloatHyperparameter("x", 2, 5, lower=1, upper=3),
    "beta int": CS.BetaIntegerHyperparameter("x", 2, 5, lower=1, upper=9),
    "normal int": CS.NormalIntegerHyperparameter("x", 3, 2, lower=0, upper=9),
}


def python(value):
    """The value without numpy."""
    return value.item() if hasattr(value, "item") else value


def drawn(part, many=4_000):
    """Values that ConfigSpace draws for a hyperparameter in a space of its own."""
    space = CS.ConfigurationSpace(seed=11)
    space.add(part)
    return [python(dict(config)[part.name]) for config in space.sample_configuration(many)]


@pytest.mark.parametrize("name", PARTS)
def test_a_hyperparameter_becomes_the_domain_of_the_table(name):
    """Uniform, normal and ordinal ones."""
    theirs, ours = PARTS[name]
    assert adapt(theirs) == ours


@pytest.mark.parametrize("name", [*PARTS, *LAWS])
def test_values_are_drawn_as_configspace_draws_them(name):
    """The same values, types and probabilities; normal and beta laws cut to their bounds."""
    theirs = LAWS[name] if name in LAWS else PARTS[name][0]
    agree(adapt(theirs), drawn(theirs))


def test_weights_of_categories_are_kept():
    """Probabilities are the weights, normalised."""
    theirs = CS.CategoricalHyperparameter("x", ["a", "b", "c"], weights=[1, 2, 5])
    domain = adapt(theirs)
    assert domain == Choice(("a", "b", "c"), (1, 2, 5))
    agree(domain, ["abc".index(value) for value in drawn(theirs)])


def test_ints_in_the_logarithm_have_nearly_the_same_masses():
    """ConfigSpace cuts [low, high] into equal bins, we cut at the ints: less than 5 % of the mass differs."""
    theirs = CS.UniformIntegerHyperparameter("x", 1, 10, log=True)
    domain = adapt(theirs)
    assert domain == Integer(1, 10, log=True, rounding="floor")
    many = 4_000
    counts, shares = (
        Counter(drawn(theirs, many)),
        Counter(domain.value((i + 0.5) / many) for i in range(many)),
    )
    assert set(counts) == set(shares)
    assert sum(abs(counts[value] - shares[value]) for value in shares) / 2 / many < 0.05


@pytest.mark.parametrize(
    "part",
    [
        CS.NormalFloatHyperparameter("x", 1, 2, lower=0.1, upper=4, log=True),
        CS.BetaIntegerHyperparameter("x", 2, 5, lower=1, upper=9, log=True),
    ],
    ids=["normal", "beta"],
)
def test_normal_and_beta_in_the_logarithm_are_refused(part):
    """Their meaning differs between versions; the error names the hyperparameter."""
    with pytest.raises(SpaceError, match="x: a normal or beta distribution must not be on a log scale"):
        SearchSpace({"x": part})
    space = CS.ConfigurationSpace()
    space.add(part)
    with pytest.raises(ValueError, match="log scale"):
        SearchSpace(space)


# Conditions


def conditional():
    """A space with every kind of condition, a chain of two, and a constant that is not always there."""
    space = CS.ConfigurationSpace(seed=3)
    parts = [
        CS.Categorical("a_model", ["svm", "forest", "none"], weights=[3, 2, 1]),
        CS.Categorical("kernel", ["linear", "rbf", "poly"]),
        CS.Float("gamma", (1e-3, 1.0), log=True),
        CS.Integer("degree", (1, 6)),
        CS.Categorical("size", ["s", "m", "l"], ordered=True),
        CS.Integer("trees", (1, 10)),
        CS.Float("rate", (0.0, 1.0)),
        CS.Constant("note", "deep"),
        CS.Constant("epochs", 9),
        CS.Float("about", (0.0, 1.0)),
    ]
    space.add(parts)
    space.add(
        [
            CS.EqualsCondition(space["kernel"], space["a_model"], "svm"),
            CS.InCondition(space["gamma"], space["kernel"], ["rbf", "poly"]),
            CS.EqualsCondition(space["degree"], space["kernel"], "poly"),
            CS.NotEqualsCondition(space["size"], space["a_model"], "none"),
            CS.AndConjunction(
                CS.EqualsCondition(space["trees"], space["a_model"], "forest"),
                CS.GreaterThanCondition(space["trees"], space["size"], "s"),
            ),
            CS.OrConjunction(
                CS.LessThanCondition(space["rate"], space["degree"], 3),
                CS.GreaterThanCondition(space["rate"], space["trees"], 7),
            ),
            CS.GreaterThanCondition(space["note"], space["trees"], 5),
            CS.EqualsCondition(space["about"], space["note"], "deep"),
        ]
    )
    return space


def keys_of(configs):
    """How often each set of keys occurs."""
    return Counter(tuple(sorted(dict(config))) for config in configs)


def as_often(mine, theirs):
    """Nothing, if two counts of the same things do not differ beyond chance."""
    assert set(mine) == set(theirs)
    table = [[mine[key] for key in sorted(mine)], [theirs[key] for key in sorted(mine)]]
    assert chi2_contingency(table).pvalue > 1e-4


def test_conditions_decide_which_keys_are_there():
    """Every combination of keys comes as often as ConfigSpace draws it; keys are sorted."""
    space, many = SearchSpace(conditional()), 3_000
    mine = [space.draw(1, index) for index in range(many)]
    as_often(keys_of(mine), keys_of(conditional().sample_configuration(many)))
    assert all([*config] == sorted(config) for config in mine)


def test_our_configurations_are_legal_there_and_theirs_here():
    """Each side takes the other's configurations."""
    theirs, ours = conditional(), SearchSpace(conditional())
    for index in range(100):
        CS.Configuration(theirs, values=ours.draw(2, index)).check_valid_configuration()
    for config in theirs.sample_configuration(100):
        values = {name: python(value) for name, value in dict(config).items()}
        ours.check(values)
        assert ours.assemble(ours.values(values)) == values


def test_parents_come_before_what_hangs_on_them():
    """Leaves stand in an order in which their rules can be judged one by one."""
    seen = set()
    for leaf in SearchSpace(conditional()).leaves:
        assert leaf.rule is None or leaf.rule.keys() <= seen
        seen.add(leaf.path)


def test_a_key_of_another_branch_is_an_error_here():
    """A missing key, and one that must not be there, are told with the rule."""
    space = SearchSpace(conditional())
    with pytest.raises(SpaceError, match="trees: this key is there only where"):
        space.check({"a_model": "none", "trees": 3, "epochs": 9})
    with pytest.raises(SpaceError, match="kernel: a value is missing"):
        space.check({"a_model": "svm", "size": "s", "epochs": 9})
    with pytest.raises(SpaceError, match=r"points_to_evaluate\[0\]: gamma: this key is there only where"):
        space.points([{"a_model": "forest", "gamma": 0.1}])


def test_the_default_is_the_space_s_own():
    """Points that leave something out are filled with ConfigSpace's default values."""
    theirs, ours = conditional(), SearchSpace(conditional())
    assert ours.default() == dict(theirs.get_default_configuration())
    assert ours.points([{"a_model": "none"}]) == [{"a_model": "none", "epochs": 9}]


def test_constants_are_constants():
    """One that is always there gives the largest resource; one that is not is no constant of the space."""
    space = SearchSpace(conditional())
    assert space.constants == {"epochs": 9}
    assert resource_of(space) == 9


# Forbidden clauses


def forbidding():
    """A finite space with every kind of forbidden clause."""
    space = CS.ConfigurationSpace(seed=5)
    space.add(
        [
            CS.Categorical("penalty", ["l1", "l2", "none"]),
            CS.Categorical("loss", ["hinge", "log"], default="log"),
            CS.Integer("low", (0, 4), default=1),
            CS.Integer("high", (0, 4), default=3),
            CS.Categorical("size", ["s", "m", "l"], ordered=True),
        ]
    )
    space.add(
        [
            CS.ForbiddenAndConjunction(
                CS.ForbiddenEqualsClause(space["penalty"], "l1"),
                CS.ForbiddenInClause(space["loss"], ["hinge"]),
            ),
            CS.ForbiddenGreaterThanRelation(space["low"], space["high"]),
            CS.ForbiddenAndConjunction(
                CS.ForbiddenEqualsClause(space["low"], 0), CS.ForbiddenEqualsClause(space["size"], "l")
            ),
        ]
    )
    return space


def test_forbidden_configurations_are_never_drawn():
    """What is left comes as often as ConfigSpace draws it: forbidden draws are drawn again."""
    space, many = SearchSpace(forbidding()), 4_000
    mine = Counter(tuple(space.draw(1, index).values()) for index in range(many))
    theirs = Counter(
        tuple(python(dict(config)[name]) for name in sorted(config))
        for config in forbidding().sample_configuration(many)
    )
    every = {tuple(config.values()) for config in space.every()}
    assert set(mine) == set(theirs) == every
    as_often(mine, theirs)


def test_a_finite_space_counts_what_is_allowed():
    """5 * 5 * 3 * 2 * 3 = 450 combinations; low > high, l1 with hinge, and low = 0 with size l fall away."""
    # 15 pairs (low, high) are allowed, 5 of them with low = 0, which go with two sizes only: 10 * 3 + 5 * 2;
    # of six pairs (penalty, loss) one is forbidden.
    assert SearchSpace(forbidding()).size == (10 * 3 + 5 * 2) * 5


def test_a_draw_that_is_allowed_is_the_same_without_the_clauses():
    """Only forbidden draws are drawn again: the others keep their values."""
    space, free = SearchSpace(forbidding()), SearchSpace(dict(forbidding()))
    draws = [free.draw(1, index) for index in range(200)]
    kept = [index for index, config in enumerate(draws) if space.allows(config)]
    assert 0 < len(kept) < 200
    assert all(space.draw(1, index) == draws[index] for index in kept)


def test_forbidden_points_are_told():
    """A point that is forbidden is an error before anything runs, and so is a configuration."""
    space = SearchSpace(forbidding())
    with pytest.raises(SpaceError, match=r"points_to_evaluate\[0\].*forbidden that low > high"):
        space.points([{"low": 4, "high": 1}])
    with pytest.raises(SpaceError, match="penalty == 'l1' and loss in"):
        space.check({"penalty": "l1", "loss": "hinge", "low": 1, "high": 2, "size": "s"})


def test_a_space_with_next_to_nothing_allowed_is_an_error():
    """After 10,000 draws the search gives up, and names the clauses."""
    space = CS.ConfigurationSpace()
    space.add([CS.Integer("a", (0, 10**6), default=5), CS.Integer("b", (0, 10**6), default=6)])
    space.add(CS.ForbiddenGreaterThanClause(space["a"], 5), CS.ForbiddenLessThanClause(space["a"], 5))
    with pytest.raises(SpaceError, match=r"10,000 draws .*a < 5, a > 5"):
        SearchSpace(space).draw(0, 0)


def test_a_clause_about_an_absent_key_does_not_hold():
    """Forbidden values of a key that is not there forbid nothing."""
    theirs = conditional()
    theirs.add(CS.ForbiddenEqualsClause(theirs["degree"], 6))
    space = SearchSpace(theirs)
    configs = [space.draw(0, index) for index in range(300)]
    assert any("degree" not in config for config in configs)
    assert all(config.get("degree") != 6 for config in configs)


# What a space with rules is for the rest of the package


@pytest.mark.parametrize("make", [conditional, forbidding])
def test_it_survives_the_way_to_a_worker(make):
    """A pickled space is equal, has the same identity, and draws the same."""
    space = SearchSpace(make())
    other = pickle.loads(pickle.dumps(space))
    assert other == space
    assert encode.digest("space/v1", other.identity()) == encode.digest("space/v1", space.identity())
    assert [other.draw(3, index) for index in range(20)] == [space.draw(3, index) for index in range(20)]


def test_rules_are_part_of_the_identity():
    """Without its clauses it is another space."""
    assert SearchSpace(forbidding()) != SearchSpace(dict(forbidding()))


def test_units_decide_active_leaves_alone():
    """A quasi-random point has a u for every leaf; those of absent keys are not looked at."""
    space = SearchSpace(conditional())
    rng = generator(0, "test")
    for _ in range(50):
        space.check(space.from_units({leaf.path: rng.random() for leaf in space.leaves}))


def test_a_whole_space_stands_alone():
    """A ConfigurationSpace as a part of a dict is refused with the way out."""
    with pytest.raises(SpaceError, match="net: a ConfigurationSpace must be the whole space"):
        SearchSpace({"net": forbidding()})


def test_its_json_form_is_refused():
    """The form has no words for rules."""
    with pytest.raises(SpaceError, match="its form cannot say rules"):
        SearchSpace(forbidding()).to_json()
