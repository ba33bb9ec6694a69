"""Rules over a flat space: which keys are there, which combinations are forbidden."""

from __future__ import annotations

import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.samplers.contract import NoSuggestion, Question
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.gp import GP
from prefect_tune.samplers.grid import Grid
from prefect_tune.samplers.qmc import Halton, LatinHypercube, Sobol
from prefect_tune.samplers.tpe import TPE
from prefect_tune.schedules.asynchronous.explore import explore
from prefect_tune.space import SearchSpace, choice, randint, uniform
from prefect_tune.space.rules import Every, Relation, Ruled, Some, Test
from prefect_tune.trials import TrialRecord, TrialState, generator

VALUES = {"a": 3, "b": 5, "c": "x"}


@pytest.mark.parametrize(
    ("rule", "holds", "text"),
    [
        (Test("a", "==", 3), True, "a == 3"),
        (Test("a", "!=", 3), False, "a != 3"),
        (Test("a", "<", 3), False, "a < 3"),
        (Test("a", "<=", 3), True, "a <= 3"),
        (Test("a", ">", 2), True, "a > 2"),
        (Test("a", ">=", 4), False, "a >= 4"),
        (Test("c", "in", ("x", "y")), True, "c in ['x', 'y']"),
        (Test("d", "!=", 3), False, "d != 3"),
        (Relation("a", "<", "b"), True, "a < b"),
        (Relation("a", "!=", "d"), False, "a != d"),
        (Every((Test("a", "==", 3), Test("b", "==", 5))), True, "(a == 3 and b == 5)"),
        (Every((Test("a", "==", 3), Test("b", "==", 6))), False, "(a == 3 and b == 6)"),
        (Some((Test("a", "==", 4), Test("b", "==", 5))), True, "(a == 4 or b == 5)"),
        (Every(), True, "always"),
        (Some(), False, "never"),
    ],
)
def test_a_rule_holds_or_does_not(rule, holds, text):
    """A comparison with a key that is not there does not hold, whatever it compares."""
    assert rule.holds(VALUES) is holds
    assert str(rule) == text


def ruled(**more):
    """depth is there with model 1, rate with a depth above 2; low stays at most high."""
    deep = Test("model", "in", (1,))
    return Ruled(
        {
            "model": choice(["flat", "deep"]),
            "depth": randint(1, 4),
            "a_rate": uniform(0, 1) if more.pop("endless", True) else randint(0, 1),
            "low": randint(0, 3),
            "high": randint(0, 3),
            "epochs": 9,
        },
        conditions={"depth": deep, "a_rate": Every((deep, Test("depth", ">", 2)))},
        forbidden=(Relation("low", ">", "high"),),
        **more,
    )


def legal(config):
    """Whether a configuration keeps the rules, worked out anew."""
    deep = config["model"] == "deep"
    return (
        ("depth" in config) == deep
        and ("a_rate" in config) == (deep and config["depth"] > 2)
        and config["low"] <= config["high"]
    )


def test_draws_keep_the_rules():
    """Keys are there where their rules hold, sorted, and nothing forbidden is drawn."""
    space = SearchSpace(ruled())
    configs = [space.draw(0, index) for index in range(300)]
    assert all(map(legal, configs))
    assert {len(config) for config in configs} == {4, 5, 6}
    assert all([*config] == sorted(config) for config in configs)


def test_leaves_stand_after_what_their_rules_ask_for():
    """By rank, then by path: a_rate sorts first and is decided last."""
    leaves = SearchSpace(ruled()).leaves
    assert [(leaf.rank, leaf.path) for leaf in leaves] == [
        (0, "high"),
        (0, "low"),
        (0, "model"),
        (1, "depth"),
        (2, "a_rate"),
    ]


def test_values_and_assemble_are_inverse():
    """What is taken apart is put together again; what must not be there is refused."""
    space = SearchSpace(ruled())
    for index in range(50):
        config = space.draw(1, index)
        assert space.assemble(space.values(config)) == config
    with pytest.raises(SpaceError, match=r"depth: this key is there only where model in \[1\]"):
        space.values({"model": "flat", "depth": 2, "low": 0, "high": 1, "epochs": 9})


def test_every_and_size_count_what_is_allowed():
    """10 of 16 pairs (low, high); one flat model, and depths 1, 2, 3 and 4 of which two have two rates."""
    space = SearchSpace(ruled(endless=False))
    every = list(space.every())
    assert len(every) == space.size == 10 * (1 + 2 + 2 * 2)
    assert all(map(legal, every))
    assert len({repr(config) for config in every}) == len(every)
    assert SearchSpace(ruled()).size is None


def test_defaults_are_the_named_ones():
    """Values that the space itself names come before the middle of the domain."""
    assert SearchSpace(ruled(defaults={"model": 1, "low": 0})).default() == {
        "depth": 2,
        "epochs": 9,
        "high": 2,
        "low": 0,
        "model": "deep",
    }


def test_rules_in_a_circle_are_refused():
    """Keys that ask for each other could not be decided."""
    conditions = {"a": Test("b", "==", 1), "b": Test("a", "==", 1)}
    with pytest.raises(SpaceError, match="conditions of a, b ask for each other"):
        SearchSpace(Ruled({"a": randint(0, 1), "b": randint(0, 1)}, conditions))


@pytest.mark.parametrize(
    "sampler", [Random(), Sobol(), Halton(), LatinHypercube(40), TPE(startup=4), GP(startup=4)]
)
def test_no_sampler_breaks_a_rule(sampler):
    """Designs and models know nothing of rules; what they propose keeps them all the same."""
    space, records = SearchSpace(ruled()), []
    for index in range(14):
        config = sampler.suggest(Question(index, space, tuple(records), (1,), seed=3))
        assert legal(config)
        loss = float(config["high"] - config["low"])  # pulls towards the forbidden side
        records.append(TrialRecord(index, config, TrialState.COMPLETED, {1: loss}, final=loss))


def test_the_grid_of_a_ruled_space_has_every_allowed_configuration():
    """The grid sampler goes through them once, then the search ends."""
    space = SearchSpace(ruled(endless=False))
    suggested = [Grid().suggest(Question(index, space, (), (1,), seed=0)) for index in range(space.size + 1)]
    assert all(map(legal, suggested[:-1]))
    assert suggested[-1] is NoSuggestion.EXHAUSTED


def test_exploring_keeps_the_rules():
    """A step that would be forbidden is not taken."""
    space, draws = SearchSpace(ruled()), generator(0, "test")
    config = space.draw(0, 0)
    for _ in range(200):
        config = explore(config, space, draws)
        assert legal(config)
