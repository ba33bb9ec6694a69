"""Faults: one sentence each, all at once, with their facts as attributes."""

from __future__ import annotations

import pickle

import pytest

from prefect_tune.errors import SpaceError, UserError
from prefect_tune.space.faults import Fault, SpaceFaults, raise_any

ONE = Fault("lr", "a value must lie in uniform(0.0, 1.0)", 2, "choose one inside")
TWO = Fault("net", "there is no key 'a'", 1, "the keys are b", " Did you mean 'b'?")


def test_a_fault_is_a_sentence():
    """Place, rule, value, next move; a hint at the end."""
    assert str(ONE) == "lr: a value must lie in uniform(0.0, 1.0), got 2; choose one inside."
    assert (
        str(TWO.below("p[0]")) == "p[0]: net: there is no key 'a', got 1; the keys are b. Did you mean 'b'?"
    )


def test_long_values_are_shortened():
    """A large object does not fill the screen."""
    assert len(str(Fault("x", "wrong", list(range(10_000)), "shorten it"))) < 140


def test_errors_are_the_users_and_travel():
    """SpaceFaults is a SpaceError, a ValueError, and survives pickling with its faults."""
    error = SpaceFaults([ONE, TWO], "the points")
    assert isinstance(error, (SpaceError, UserError, ValueError))
    assert str(error) == f"the points has 2 faults:\n- {ONE}\n- {TWO}"
    again = pickle.loads(pickle.dumps(error))
    assert again.faults == (ONE, TWO)
    assert str(again) == str(error)
    assert str(SpaceFaults([ONE])) == str(ONE)


def test_no_fault_no_error():
    """raise_any raises only if there is something to tell."""
    raise_any([])
    with pytest.raises(SpaceFaults):
        raise_any([ONE])
