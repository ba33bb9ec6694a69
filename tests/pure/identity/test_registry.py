"""Ignorable parameters exist, belong to exact classes, and change no result."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import BernoulliRBM
from sklearn.svm import SVC

from prefect_tune.identity.encode import encode
from prefect_tune.identity.registry import TABLE, ignorable


def class_of(name: str) -> type:
    module, _, short = name.rpartition(".")
    return getattr(importlib.import_module(f"sklearn.{module}"), short)


@pytest.mark.parametrize("parameter", sorted(TABLE))
def test_registered_parameters_exist(parameter):
    """Each entry names a parameter that the installed class has."""
    missing = [n for n in TABLE[parameter] if parameter not in inspect.signature(class_of(n)).parameters]
    assert missing == []


def test_ignorable_is_by_exact_class():
    """A subclass may read what its base ignores, so it ignores nothing."""
    assert ignorable(SVC) == {"verbose", "cache_size"}
    assert ignorable(type("Mine", (SVC,), {})) == frozenset()


def test_verbose_of_a_boltzmann_machine_counts():
    """Printing the likelihood draws random numbers there, so the fit depends on it."""
    assert encode(BernoulliRBM(verbose=1)) != encode(BernoulliRBM(verbose=0))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (SVC(cache_size=1), SVC(cache_size=500)),
        (SGDClassifier(random_state=0, verbose=1), SGDClassifier(random_state=0)),
        (RandomForestClassifier(5, random_state=0, verbose=1), RandomForestClassifier(5, random_state=0)),
    ],
)
def test_ignored_parameters_change_no_bit(left, right, capsys):
    """Two settings that share an identity give the same predictions, bit for bit."""
    X = np.random.default_rng(0).random((60, 4))
    y = (X[:, 0] > X[:, 1]).astype(int)
    assert encode(left) == encode(right)
    np.testing.assert_array_equal(left.fit(X, y).predict(X), right.fit(X, y).predict(X))
