"""What all domains have in common: values inside, Python's own types, u and back, one repr that is code."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune import space as module
from prefect_tune.errors import SpaceError
from prefect_tune.space import (
    Distribution,
    choice,
    constant,
    derived,
    finrange,
    grid,
    logfinrange,
    lognormal,
    logordinal,
    lograndint,
    loguniform,
    normal,
    ordinal,
    qlograndint,
    qloguniform,
    qrandint,
    quniform,
    randint,
    reverseloguniform,
    truncnormal,
    uniform,
)

UNITS = st.floats(0, 1)
NUMBERS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)
WHOLE = st.integers(-1000, 1000)
COUNTING = st.integers(1, 1000)
STEPS = st.sampled_from([0.1, 0.25, 0.3, 1.0, 2.5, 1e-3, 7.0])


def two(numbers):
    """Two numbers, the smaller first."""
    return st.tuples(numbers, numbers).map(sorted)


@st.composite
def multiples(draw, steps, ks):
    """(low, high, q), both bounds multiples of q."""
    q = draw(steps)
    low, high = draw(two(ks))
    return low * q, high * q, q


FLOATS = st.one_of(
    two(NUMBERS).map(lambda ends: uniform(*ends)),
    two(POSITIVE).map(lambda ends: loguniform(*ends)),
    two(st.floats(0, 0.999)).map(lambda ends: reverseloguniform(*ends)),
    st.builds(normal, NUMBERS, POSITIVE),
    st.builds(lognormal, st.floats(-5, 5), st.floats(0.01, 3)),
    st.builds(lambda m, s, ends: truncnormal(m, s, *ends), NUMBERS, POSITIVE, two(NUMBERS)),
)
LATTICES = st.one_of(
    multiples(STEPS, WHOLE).map(lambda args: quniform(*args)),
    multiples(STEPS, COUNTING).map(lambda args: qloguniform(*args)),
    two(st.floats(1, 100)).map(lambda ends: finrange(ends[0], ends[1] + 1, 7)),
    two(st.floats(1, 100)).map(lambda ends: logfinrange(ends[0], ends[1] + 1, 7)),
)
INTS = st.one_of(
    two(WHOLE).map(lambda ends: randint(*ends)),
    two(WHOLE).map(lambda ends: randint(*ends, rounding="half")),
    multiples(COUNTING, WHOLE).map(lambda args: qrandint(*args)),
    st.builds(
        lambda ends, rounding: lograndint(*ends, rounding=rounding),
        two(COUNTING),
        st.sampled_from([None, "closed", "floor"]),
    ),
    multiples(COUNTING, COUNTING).map(lambda args: qlograndint(*args)),
    two(COUNTING).map(lambda ends: finrange(ends[0], ends[1] + 5, 6, cast_int=True)),
)
LISTS = st.one_of(
    st.lists(WHOLE, min_size=1, max_size=9, unique=True).map(ordinal),
    st.lists(WHOLE, min_size=1, max_size=9, unique=True).map(lambda v: ordinal(v, kind="equal")),
    st.lists(COUNTING, min_size=1, max_size=9, unique=True).map(lambda v: logordinal(sorted(v))),
    st.lists(st.text(max_size=3), min_size=1, max_size=9, unique=True).map(grid),
    st.lists(st.text(max_size=3), min_size=1, max_size=9, unique=True).map(choice),
)
EVERY = st.one_of(FLOATS, LATTICES, INTS, LISTS)


def masses(domain, positions):
    """Mass of each value, by bisection for the u at which the value's position first exceeds it."""
    edges = []
    for position in range(len(positions) - 1):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            inside = positions[domain.value(middle)] <= position
            low, high = (middle, high) if inside else (low, middle)
        edges.append(low)
    return np.diff([0.0, *edges, 1.0])


@given(EVERY, UNITS)
def test_values_lie_in_their_domain(domain, u):
    """Whatever u, also 0 and 1: the value is one that the domain accepts, unchanged."""
    value = domain.value(u)
    assert domain.contains(value)
    assert domain.cast(value) == value


@given(FLOATS | LATTICES, UNITS)
def test_float_types_give_python_floats(domain, u):
    """Floats are exactly of type float: no numpy scalar, no int."""
    assert type(domain.value(u)) is float
    assert type(domain.default()) is float


@given(INTS, UNITS)
def test_int_types_give_python_ints(domain, u):
    """Ints are exactly of type int: no bool, no integral float."""
    assert type(domain.value(u)) is int
    assert type(domain.default()) is int


@given(EVERY)
def test_defaults_lie_in_their_domain(domain):
    """The middle of a domain is one of its values."""
    assert domain.contains(domain.default())


@given(INTS | LATTICES | LISTS)
def test_every_member_has_a_unit(domain):
    """For finite domains value(unit(v)) is v; there are as many members as the size says."""
    members = list(domain.members())[:50]
    assert [domain.value(domain.unit(member)) for member in members] == members
    assert domain.size == len(list(domain.members()))


@given(
    st.one_of(
        two(st.integers(1, 40)).map(lambda ends: randint(*ends)),
        two(st.integers(1, 40)).map(lambda ends: randint(*ends, rounding="half")),
        st.builds(
            lambda ends, rounding: lograndint(*ends, rounding=rounding),
            two(st.integers(1, 40)),
            st.sampled_from([None, "closed", "floor"]),
        ),
        multiples(st.integers(1, 6), st.integers(1, 9)).map(lambda args: qlograndint(*args)),
        multiples(STEPS, st.integers(1, 9)).map(lambda args: quniform(*args)),
        multiples(STEPS, st.integers(1, 9)).map(lambda args: qloguniform(*args)),
        st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True).map(
            lambda values: ordinal(sorted(values))
        ),
        st.lists(st.floats(0.01, 1), min_size=1, max_size=6).map(
            lambda weights: choice(list(range(len(weights))), weights)
        ),
    )
)
def test_the_unit_is_the_middle_of_the_mass(domain):
    """unit(v) is the middle of the interval of u that gives v, found by bisection."""
    positions = {member: position for position, member in enumerate(domain.members())}
    ends = np.cumsum([0.0, *masses(domain, positions)])
    middles = (ends[1:] + ends[:-1]) / 2
    assert [domain.unit(member) for member in positions] == pytest.approx(middles, abs=1e-7)


@given(FLOATS, st.floats(0.001, 0.999))
def test_units_of_floats_come_back(domain, u):
    """For continuous domains unit(value(u)) gives u back, up to rounding, unless all mass is one point."""
    value = domain.value(u)
    assert domain.value(domain.unit(value)) == pytest.approx(value, rel=1e-6, abs=1e-6)


@given(FLOATS | LATTICES, UNITS, UNITS)
def test_values_rise_with_u(domain, first, second):
    """A larger u never gives a smaller number, but for the last digits of a tail."""
    low, high = (domain.value(u) for u in sorted([first, second]))
    assert low <= high or low == pytest.approx(high, rel=1e-9, abs=1e-300)


@given(EVERY)
def test_the_repr_is_the_call(domain):
    """The repr is the code that makes the domain; equal domains compare equal and travel."""
    again = eval(repr(domain), {"__builtins__": {}, "nan": math.nan, **vars(module)})
    assert again == domain == pickle.loads(pickle.dumps(domain))
    assert hash(again) == hash(domain)


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (loguniform(1e-4, 1), "loguniform(0.0001, 1.0)"),
        (quniform(0, 1, 0.1), "quniform(0.0, 1.0, 0.1)"),
        (qloguniform(1, 9, 2, clip=False), "qloguniform(1.0, 9.0, 2.0, clip=False)"),
        (reverseloguniform(0, 0.9), "reverseloguniform(0.0, 0.9)"),
        (truncnormal(0, 1, None, 2), "truncnormal(0.0, 1.0, None, 2.0)"),
        (qlograndint(2, 8, 2), "qlograndint(2, 8, 2)"),
        (lograndint(1, 9, rounding="floor"), "lograndint(1, 9, rounding='floor')"),
        (choice(["a", (1, 2)]), "choice(['a', (1, 2)])"),
        (choice(["a", "b"], weights=[1, 2]), "choice(['a', 'b'], weights=[1.0, 2.0])"),
        (logordinal([1, 2]), "ordinal([1, 2], kind='nn-log')"),
        (logfinrange(1, 8, 4, cast_int=True), "logfinrange(1.0, 8.0, 4, cast_int=True)"),
        (grid([1, "b"]), "grid([1, 'b'])"),
        (constant((1, 2)), "constant((1, 2))"),
        (derived(len), "derived(len)"),
        (Distribution(scipy.stats.expon(scale=2)), "scipy.stats.expon(scale=2)"),
    ],
)
def test_reprs_are_readable(domain, text):
    """The repr names the constructor and its arguments, as one would write them."""
    assert repr(domain) == text


@pytest.mark.parametrize("domain", [uniform(0, 1), normal(0, 1), Distribution(scipy.stats.norm())])
def test_what_is_not_finite_has_no_members(domain):
    """Asked for its values, a continuous domain says what to use instead."""
    with pytest.raises(SpaceError, match=r"not finite; name the values by choice"):
        list(domain.members())


def test_domains_are_frozen():
    """A bound cannot be set afterwards, so a domain that exists is valid."""
    with pytest.raises(AttributeError):
        uniform(0, 1).low = 5
