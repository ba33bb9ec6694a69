"""No two unequal values share a digest, however near they are; and equal ones have one digest.

`make soak` compares a million pairs: PAIRS=1000000 python -m pytest -s tests/pure/identity/test_near.py
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from near import KINDS, PLAIN, exact, groups

from prefect_tune.identity.data import fingerprint
from prefect_tune.identity.encode import digest

PAIRS = int(os.environ.get("PAIRS", "25000"))
EXAMPLES = 50


def digest_of(kind: str, value: Any) -> bytes:
    """What stands for the value in keys: as a parameter, or as data."""
    return digest("test/v1", value) if kind in ("plain", "estimators") else fingerprint(value)[0]


def compare(kind: str, group: list[Any]) -> Counter[str]:
    """How many pairs of a group are equal and unequal, after each was told apart as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [(digest_of(kind, value), exact(value), value) for value in group]
    met: Counter[str] = Counter()
    for (one, form, left), (other, wanted, right) in itertools.combinations(found, 2):
        if form == wanted:
            assert one == other, f"a miss: {left!r} and {right!r} are equal"
            met["equal"] += 1
        else:
            assert one != other, f"a false hit: {left!r} and {right!r} are not equal"
            met["unequal"] += 1
    return met


def look_at(kind: str, number: int) -> Counter[str]:
    """What the groups of one seed have shown."""
    met: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(groups(kind))
    def look(group: list[Any]) -> None:
        met.update(compare(kind, group))

    look()
    return met


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_near_values_are_told_apart(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every pair of a group has one digest exactly if the oracle says that it is one value."""
    met, number = Counter[str](), 0
    while met["unequal"] < PAIRS / len(KINDS):
        met.update(look_at(kind, number))
        number += 1
    assert met["equal"] > met["unequal"] / 1000, f"the groups have no equal pairs: {dict(met)}"
    if "PAIRS" in os.environ:
        with capsys.disabled():
            print(f"\n{kind}: {met['unequal']:,} unequal and {met['equal']:,} equal pairs, all told apart")


@settings(max_examples=300)
@given(st.lists(PLAIN, min_size=2, max_size=12))
def test_unrelated_values_are_told_apart(values: list[Any]) -> None:
    """So do values that have nothing to do with one another."""
    compare("plain", values)


CARELESS = [
    (lambda value: repr(value).lower().encode(), [True, "True", "true"]),
    (lambda value: str(value).encode(), [["a"], "['a']"]),
    (lambda value: str(id(value)).encode(), [[1], [1]]),
]


@pytest.mark.parametrize(("careless", "group"), CARELESS)
def test_careless_digest_is_caught(careless: Any, group: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forgets types, or splits what is equal, does not pass."""
    monkeypatch.setattr(sys.modules[__name__], "digest_of", lambda _, value: careless(value))
    with pytest.raises(AssertionError, match=r"a false hit|a miss"):
        compare("plain", group)
