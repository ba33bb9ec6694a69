"""Syne Tune's domains, made ours."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.space import Choice, FinRange, Float, Integer, Ordinal, SearchSpace, adapt

sys.path.append(str(Path(__file__).parent))
from side_by_side import agree

theirs = pytest.importorskip(
    "syne_tune.config_space", reason="Syne Tune is not installed; its domains cannot be made"
)

DOMAINS = {
    "uniform": (theirs.uniform(-1, 2), Float(-1, 2)),
    "loguniform": (theirs.loguniform(1e-4, 10), Float(1e-4, 10, log=True)),
    "reverseloguniform": (theirs.reverseloguniform(0.5, 0.999), Float(0.5, 0.999, reverse=True)),
    "quniform": (theirs.quniform(0, 1, 0.25), Float(0, 1, 0.25)),
    "qloguniform": (theirs.qloguniform(0.5, 8, 0.5), Float(0.5, 8, 0.5, log=True)),
    "randint": (theirs.randint(2, 6), Integer(2, 6)),
    "lograndint": (theirs.lograndint(1, 10), Integer(1, 10, log=True, rounding="closed")),
    "qrandint by 1": (theirs.qrandint(2, 6), Integer(2, 6)),
    "ordinal": (theirs.ordinal([1, 2, 5, 20]), Ordinal((1, 2, 5, 20), "nn")),
    "ordinal equal": (theirs.ordinal([1, 2, 5], kind="equal"), Ordinal((1, 2, 5), "equal")),
    "ordinal text": (theirs.ordinal(["s", "m", "l"]), Ordinal(("s", "m", "l"), "equal")),
    "logordinal": (theirs.logordinal([1, 10, 20]), Ordinal((1, 10, 20), "nn-log")),
    "finrange": (theirs.finrange(0.1, 1.0, 4), FinRange(0.1, 1.0, 4)),
    "finrange ints": (theirs.finrange(1, 10, 4, cast_int=True), FinRange(1, 10, 4, cast_int=True)),
    "logfinrange": (theirs.logfinrange(1, 1000, 4), FinRange(1, 1000, 4, log=True)),
}
# The ints are rounded after the draw: no type of ours has these probabilities.
WEIGHTED = {
    "qrandint": theirs.qrandint(0, 10, 5),
    "qrandint off": theirs.qrandint(2, 14, 4),
    "qrandint odd": theirs.qrandint(-7, 7, 3),
    "qlograndint": theirs.qlograndint(4, 64, 4),
}


def drawn(domain, many=4_000):
    """Values that Syne Tune draws, as plain values."""
    found = domain.sample(size=many, random_state=np.random.RandomState(7))
    values = [value.item() if hasattr(value, "item") else value for value in found]
    # A list of draws with a step skips the cast that a single draw has.
    return [domain.value_type(value) for value in values]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_becomes_the_one_of_the_table(name):
    """Both bounds of ints are included; ordinals keep their kind."""
    other, ours = DOMAINS[name]
    assert adapt(other) == ours


@pytest.mark.parametrize("name", [*DOMAINS, *WEIGHTED])
def test_values_are_drawn_as_syne_tune_draws_them(name):
    """The same values, types and probabilities, up to rounding in the last places."""
    other = WEIGHTED[name] if name in WEIGHTED else DOMAINS[name][0]
    agree(adapt(other), drawn(other), near=isinstance(adapt(other), FinRange) or name.startswith("q"))


def test_a_choice_is_drawn_as_syne_tune_draws_it():
    """All categories are equally likely."""
    domain = adapt(theirs.choice(["a", "b", "c"]))
    assert domain == Choice(("a", "b", "c"))
    agree(domain, ["abc".index(value) for value in drawn(theirs.choice(["a", "b", "c"]))])


def test_a_config_space_is_a_space():
    """A dict of domains and constants, of which epochs is the largest resource."""
    space = SearchSpace({"lr": theirs.loguniform(1e-4, 1), "act": theirs.choice(["a", "b"]), "epochs": 27})
    assert [leaf.path for leaf in space.leaves] == ["act", "lr"]
    assert space.constants == {"epochs": 27}
