"""Levels, shares, passing ranks and bracket chances, against tables worked out beforehand."""

from __future__ import annotations

import doctest
import importlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.brackets import plan_brackets
from prefect_tune.schedules.asynchronous.levels import Levels, max_resource_of, plan_levels
from prefect_tune.schedules.asynchronous.rules import plan_rule


@pytest.mark.parametrize(
    ("top", "settings", "rungs"),
    [
        (81, {}, (1, 3, 9, 27)),
        (56, {}, (1, 3, 9, 27)),
        (50, {}, (1, 3, 9, 27)),
        (200, {}, (1, 3, 9, 27, 81)),
        (200, {"grace_period": 2}, (2, 6, 18, 54, 162)),
        (100, {"grace_period": 5, "eta": 4}, (5, 20, 80)),
        (2, {"eta": 2}, (1,)),
        (1000, {"eta": 10}, (1, 10, 100)),
        (243, {}, (1, 3, 9, 27, 81)),
        (1, {}, ()),
        (9, {"grace_period": 9}, ()),
        (10, {"eta": 2.5}, (1, 2, 6)),  # 2.5 and 6.25; the half goes to the even number
        (10, {"grace_period": 2, "rung_increment": 3}, (2, 5, 8)),
        (11, {"grace_period": 2, "rung_increment": 3}, (2, 5, 8)),
        (9, {"rung_levels": [2, 5, 9]}, (2, 5)),
        (9, {"rung_levels": [2, 5], "rung_increment": 1, "grace_period": 4}, (2, 5)),
        (9, {"rung_levels": []}, ()),
    ],
)
def test_levels(top, settings, rungs):
    """Powers of eta below the maximum, or an increment, or a list that overrides both."""
    levels = plan_levels(top, **settings)
    assert levels.rungs == rungs
    assert levels.all == (*rungs, top)
    assert ASHA(top, **settings).levels == levels.all


@pytest.mark.parametrize(
    ("rungs", "top", "shares"),
    [
        ((1, 3, 9, 27), 81, ["1/3", "1/3", "1/3", "1/3"]),
        ((1, 3, 9, 27), 56, ["1/3", "1/3", "1/3", "27/56"]),
        ((1, 3, 9, 27), 50, ["1/3", "1/3", "1/3", "27/50"]),
        ((1, 3, 9, 27, 81), 200, ["1/3", "1/3", "1/3", "1/3", "81/200"]),
        ((2, 6, 18, 54, 162), 200, ["1/3", "1/3", "1/3", "1/3", "81/100"]),
        ((5, 20, 80), 100, ["1/4", "1/4", "4/5"]),
        ((1,), 2, ["1/2"]),
        ((1, 10, 100), 1000, ["1/10", "1/10", "1/10"]),
    ],
)
def test_shares_are_exact(rungs, top, shares):
    """The share of a rung is its resource over the next level's, the last against the maximum."""
    levels = Levels(rungs, top)
    assert [levels.share(place) for place in range(len(rungs))] == [Fraction(share) for share in shares]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"grace_period": 10}, "grace_period: must be at most max_resource"),
        ({"grace_period": 1.5}, "grace_period: must be an int"),
        ({"grace_period": 0}, "grace_period"),
        ({"eta": 1}, "eta: must be a number of at least 2"),
        ({"rung_increment": 0}, "rung_increment"),
        ({"rung_levels": [3, 3]}, "rung_levels: must be rising"),
        ({"rung_levels": [3, 10]}, "rung_levels"),
        ({"rung_levels": [0, 3]}, "rung_levels"),
        ({"rung_levels": [1.5, 3]}, "rung_levels"),
        ({"rung_levels": 3}, "rung_levels"),
        ({"type": "hyperband"}, "type: must be"),
        ({"brackets": 0}, "brackets: must be an int of at least 1"),
        ({"searcher_data": "some"}, "searcher_data: must be one of"),
        ({"fail_on_nan": True}, "fail_on_nan: must be"),
        ({"compat": "paper"}, "compat: must be one of None, 'syne-0.13'"),
        ({"compat": "optuna", "type": "promotion"}, "compat"),
        ({"compat": "ray", "type": "promotion"}, "compat"),
        ({"compat": "syne-0.15", "type": "promotion"}, "compat"),
        ({"compat": "tune"}, "compat"),
    ],
)
def test_settings_are_checked_at_the_door(settings, words):
    """A setting that plans nothing names itself, its rule and its value."""
    with pytest.raises(ScheduleError, match=words):
        ASHA(9, **settings)


@pytest.mark.parametrize("top", [0, -1, 2.5, True, None])
def test_the_maximum_is_a_positive_int(top):
    """So that every level is."""
    with pytest.raises(ScheduleError, match="max_resource"):
        ASHA(top)


def test_the_maximum_is_read_from_the_space():
    """The named constant, else the first usual name that holds a plain int; domains are passed over."""
    domain = object()
    assert max_resource_of({"lr": 1, "epochs": 81}) == 81
    assert max_resource_of({"epochs": domain, "max_t": 9, "max_epochs": 5}) == 9
    assert max_resource_of({"epochs": True, "max-epochs": 5}) == 5
    assert max_resource_of({"max-t": 7}) == 7
    assert max_resource_of({"epochs": 81, "steps": 4}, "steps") == 4
    with pytest.raises(ScheduleError, match="max_resource: must be given"):
        max_resource_of({"epochs": domain, "lr": 3})
    with pytest.raises(ScheduleError, match="max_resource_attr: must name"):
        max_resource_of({"epochs": 81}, "steps")


@pytest.mark.parametrize(
    ("compat", "type", "ranks"),
    [
        (None, "stopping", [1, 2, 1, 2, 2, 2, 3, 3, 3, 4]),
        (None, "promotion", [0, 0, 1, 2, 2, 2, 3, 3, 3, 4]),
        ("paper", "promotion", [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]),
        ("syne-0.13", "stopping", [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
        ("syne-0.13", "promotion", [0, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
        ("syne-0.15", "stopping", [1, 1, 2, 2, 2, 3, 3, 3, 4, 4]),
        ("optuna", "stopping", [1, 1, 1, 1, 1, 2, 2, 2, 3, 3]),
    ],
)
def test_passing_ranks(compat, type, ranks):
    """With eta 3 and a share of a third: how many of n pass, for n = 1 to 10."""
    rule = plan_rule(type, 3, compat)
    assert [rule.passing(n, Fraction(1, 3)) for n in range(1, 11)] == ranks


@pytest.mark.parametrize("compat", ["paper", "optuna", "syne-0.15"])
def test_rules_that_go_by_eta_ignore_the_share(compat):
    """Paper, Optuna and Syne Tune 0.15 keep 1/eta at every level; ours keeps the rung's own share."""
    type = "promotion" if compat == "paper" else "stopping"
    theirs, ours = plan_rule(type, 3, compat), plan_rule(type, 3)
    assert {theirs.passing(9, share) for share in (Fraction(1, 3), Fraction(27, 50))} == {
        theirs.passing(9, Fraction(1, 3))
    }
    assert ours.passing(9, Fraction(27, 50)) == 5


whole_losses = st.lists(st.integers(-20, 20), min_size=1, max_size=30)
shares = st.fractions(Fraction(1, 12), Fraction(11, 12), max_denominator=200)


@given(whole_losses, shares, st.integers(2, 5))
def test_our_rule_is_the_interpolated_quantile(losses, share, eta):
    """From eta losses on, a loss passes if it is at most the share-quantile of all, as numpy interpolates."""
    rising = sorted(map(float, losses))
    quantile = np.quantile(rising, float(share))
    for type, undecided in (("stopping", True), ("promotion", False)):
        rule = plan_rule(type, eta)
        for loss in rising:
            wanted = loss <= quantile + 1e-9 if len(losses) >= eta else undecided
            assert rule.passes(rising, loss, share) == wanted


@given(whole_losses, st.sampled_from([(None, "stopping"), (None, "promotion"), ("paper", "promotion")]))
def test_a_better_loss_passes_where_a_worse_one_does(losses, names):
    """And equal losses pass together."""
    rising = sorted(map(float, losses))
    rule = plan_rule(names[1], 3, names[0])
    passed = [rule.passes(rising, loss, Fraction(1, 3)) for loss in rising]
    assert passed == sorted(passed, reverse=True)


@given(whole_losses)
def test_ray_compares_with_those_before(losses):
    """The first passes; then whoever is not below the percentile of the earlier scores."""
    rule = plan_rule("stopping", 4, "ray")
    for n in range(1, len(losses) + 1):
        rising, loss = sorted(map(float, losses[:n])), float(losses[n - 1])
        earlier = -np.array(losses[: n - 1], dtype=float)
        wanted = n == 1 or not -loss < np.percentile(earlier, 75)
        assert rule.passes(rising, loss, Fraction(1, 4)) == wanted
    with pytest.raises(ScheduleError, match="compat"):
        rule.passing(3, Fraction(1, 4))


@pytest.mark.parametrize(
    ("top", "settings", "chances"),
    [
        (81, {"brackets": 5}, [0.5694, 0.2373, 0.1054, 0.0527, 0.0351]),
        (81, {"brackets": 3}, [0.6243, 0.2601, 0.1156]),
        (50, {"brackets": 9}, [0.5573, 0.2322, 0.1032, 0.0516, 0.0557]),
        (256, {"brackets": 5, "eta": 4}, [0.6778, 0.2118, 0.0706, 0.0265, 0.0132]),
        (9, {"brackets": 3}, [0.5455, 0.2727, 0.1818]),
        (81, {"brackets": 5, "compat": "ray"}, [0.6364, 0.2341, 0.0861, 0.0317, 0.0117]),
        (81, {"brackets": 5, "compat": "optuna"}, [81 / 143, 34 / 143, 15 / 143, 8 / 143, 5 / 143]),
        (1, {"brackets": 4}, [1]),
    ],
)
def test_bracket_chances(top, settings, chances):
    """Fewer trials start at higher rungs, in proportion to what they cost; at most one bracket per level."""
    found = ASHA(top, **settings).drawn_brackets.chances()
    assert [round(chance, 4) for chance in found] == [round(chance, 4) for chance in chances]


@pytest.mark.parametrize("compat", [None, "ray", "optuna"])
def test_brackets_are_drawn_with_their_chances(compat):
    """Drawn from (seed, index): the same again, whatever was drawn in between; another seed draws anew."""
    brackets = plan_brackets(plan_levels(81), 5, 3, compat)
    draw = brackets.drawer(7)
    drawn = [draw(index) for index in range(3000)]
    again = brackets.drawer(7)
    assert [again(index) for index in reversed(range(3000))] == drawn[::-1]
    other = brackets.drawer(8)
    assert [other(index) for index in range(3000)] != drawn
    shares = np.bincount(drawn, minlength=5) / 3000
    assert np.abs(shares - brackets.chances()).max() < 0.03


def test_golden_brackets():
    """Pinned: a changed draw would start the trials of a resumed search elsewhere."""
    draw = plan_brackets(plan_levels(81), 5, 3).drawer(0)
    assert [draw(index) for index in range(12)] == [3, 3, 0, 0, 0, 1, 0, 0, 1, 2, 1, 0]


def test_one_bracket_draws_nothing():
    """A search without brackets has all trials in bracket 0."""
    draw = plan_brackets(plan_levels(81), 1, 3).drawer(0)
    assert {draw(index) for index in range(50)} == {0}


@pytest.mark.parametrize("name", ["asha", "brackets", "levels", "pasha", "rules"])
def test_examples_in_docstrings(name):
    """They run."""
    module = importlib.import_module(f"prefect_tune.schedules.asynchronous.{name}")
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
