"""Settings of schedules: what is refused, in which words, and that values are values."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import pickle
import pkgutil
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import prefect_tune.schedules as schedules
from prefect_tune.errors import ScheduleError, UserError
from prefect_tune.schedules import (
    Bracket,
    Halving,
    Incremental,
    InverseDecay,
    Plateau,
    Rung,
    halving_iterations,
    hyperband,
    min_resources_exhaust,
    plan_bracket,
    plateau_rule,
)

REFUSED = {
    "max_resource": [
        *(lambda value=value: hyperband(value) for value in (0, -1, True, 9.0, "9", None, math.nan)),
        lambda: plan_bracket(3, min_resource=1, max_resource=0),
        lambda: Incremental(0),
        lambda: InverseDecay(10, 1, 0),
        lambda: plateau_rule(True, None, max_resource=0, eta=3),
    ],
    "eta": [
        *(lambda value=value: hyperband(9, eta=value) for value in (1, 0, -3, 1.99, True, "3", None)),
        *(lambda value=value: hyperband(9, eta=value) for value in (math.nan, math.inf, 3j, [3])),
        lambda: plan_bracket(3, min_resource=1, eta=1),
    ],
    "min_resource": [
        *(lambda value=value: plan_bracket(3, min_resource=value) for value in (0, True, 1.5)),
        lambda: plan_bracket(3, min_resource=10, max_resource=9),
        lambda: plan_bracket(3),
        lambda: hyperband(9, brackets=[(3, 10)]),
        lambda: hyperband(9, bracket_sizes="upward", min_resource=10),
        lambda: hyperband(9, min_resource=2),
    ],
    "size": [
        *(lambda value=value: plan_bracket(value, min_resource=1) for value in (0, -1, False, 2.0)),
        lambda: hyperband(9, brackets=[(0, 1)]),
        lambda: Incremental(9).plan(),
        lambda: Incremental(9).plan(0),
    ],
    "bracket_sizes": [lambda: hyperband(9, bracket_sizes="jlmr"), lambda: hyperband(9, bracket_sizes=None)],
    "brackets": [
        lambda: hyperband(9, brackets=[]),
        lambda: hyperband(9, brackets=[3]),
        lambda: hyperband(9, brackets=[(1, 2, 3)]),
        lambda: hyperband(9, brackets=7),
    ],
    "rungs": [
        lambda: Bracket(0, ()),
        lambda: Bracket(0, (Rung(0, 3, 5), Rung(1, 1, 5))),
        lambda: Bracket(0, (Rung(0, 3, 5), Rung(1, 4, 6))),
        lambda: Bracket(0, (Rung(0, 3, 0),)),
        lambda: Bracket(0, (Rung(0, 0, 1),)),
    ],
    "history": [lambda: Halving(plan_bracket(1, min_resource=1)).next_round({"a": [], "b": []})],
    "fits_per_score": [lambda: Incremental(9, 0), lambda: InverseDecay(9, 1, 9, fits_per_score=True)],
    "decay": [
        *(lambda value=value: InverseDecay(9, value, 9) for value in (0, -1, True, math.nan, math.inf, "1"))
    ],
    "n_initial": [lambda: InverseDecay(0, 1, 9), lambda: InverseDecay(1.5, 1, 9)],
    "patience": [
        *(lambda value=value: Plateau(value, 0.1) for value in (1, 0, -2, True, 2.5, None, "3")),
        *(lambda value=value: plateau_rule(value, 0.1, max_resource=9) for value in (1, -1, 2.0, None, True)),
        lambda: plateau_rule(1, 0.1, max_resource=9, eta=3),
    ],
    "tol": [lambda: Plateau(3, "0.1"), lambda: Plateau(3, True)],
    "factor": [*(lambda value=value: halving_iterations(9, 1, 9, value) for value in (1, 0.5, True, "3"))],
    "min_resources": [lambda: halving_iterations(9, 10, 9, 3), lambda: min_resources_exhaust(9, 10, 9, 3)],
    "max_resources": [lambda: halving_iterations(9, 1, 0, 3)],
    "n_candidates": [lambda: halving_iterations(0, 1, 9, 3)],
}


@pytest.mark.parametrize(
    ("name", "call"), [(name, call) for name, calls in REFUSED.items() for call in calls]
)
def test_bad_settings_are_refused_by_name(name, call):
    """The error names the setting and shows the value, is a ValueError, and carries both."""
    with pytest.raises(ScheduleError) as caught:
        call()
    error = caught.value
    assert isinstance(error, UserError)
    assert isinstance(error, ValueError)
    assert error.name == name
    assert str(error).startswith(f"{name}: must ") or "belongs to" in str(error)
    assert f"got {error.value!r}; {error.advice}." in str(error)


def test_errors_speak_the_caller_s_names():
    """A class whose argument is `max_iter` says so, and errors travel between processes."""
    with pytest.raises(ScheduleError) as caught:
        hyperband(0)
    renamed = caught.value.renamed({"max_resource": "max_iter", "eta": "aggressiveness"})
    assert str(renamed).startswith("max_iter: must be an int of at least 1, got 0; ")
    assert str(pickle.loads(pickle.dumps(renamed))) == str(renamed)


@pytest.mark.parametrize("eta", [4, 4.0, np.int64(4), np.float64(4), Decimal(4), Fraction(4), np.float32(4)])
def test_a_whole_factor_is_an_int_however_written(eta):
    """Equal numbers give equal plans."""
    assert hyperband(94, eta=eta) == hyperband(94, eta=4)
    assert hyperband(np.int64(94), eta=eta) == hyperband(94, eta=4)


def test_a_decimal_factor_is_its_literal():
    """2.1 is 21/10, not the double next to it: 5 × 2.1 is a half, which goes to the even number."""
    for eta in (2.1, Decimal("2.1"), Fraction(21, 10)):
        assert plan_bracket(3, min_resource=5, eta=eta).resources == (5, 10)


@pytest.mark.parametrize(
    ("patience", "cap", "expected"),
    [
        (False, 81, None),
        (0, 81, None),
        (True, 81, 27),
        (True, 299, 99),
        (True, 5, None),
        (True, 6, 2),
        (27, 81, 27),
    ],
)
def test_patience_of_hyperband(patience, cap, expected):
    """True is ⌊R / η⌋, off below 2; False and 0 are off; nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule = plateau_rule(patience, 0.001, max_resource=cap, eta=3)
        assert rule == (None if expected is None else Plateau(expected, 0.001))


def test_short_patience_warns_only_where_it_can_stop():
    """A real tol warns; None and nan do not, nor does a search without eta."""
    with pytest.warns(UserWarning, match=r"patience: 26 is below max_resource // eta = 27"):
        assert plateau_rule(26, 0.001, max_resource=81, eta=3) == Plateau(26, 0.001)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tol in (None, math.nan):
            assert plateau_rule(26, tol, max_resource=81, eta=3).patience == 26
        assert plateau_rule(2, 0.001, max_resource=81) == Plateau(2, 0.001)


@pytest.mark.parametrize(
    "value",
    [
        hyperband(27),
        Halving(hyperband(27)[0], Plateau(3, 0.1)),
        Incremental(9),
        InverseDecay(9, 1, 9),
        Plateau(2, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_settings_are_values(value):
    """Equal by content, hashable, copied and pickled without loss."""
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert hash(copy.deepcopy(value)) == hash(value)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(schedules.__path__)])
def test_examples_in_the_docstrings_run(name):
    """Every example says what it gives."""
    module = importlib.import_module(f"prefect_tune.schedules.{name}")
    assert doctest.testmod(module).failed == 0
