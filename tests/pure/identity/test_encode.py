"""Rules of the encoding itself: pinned digests and refusals. That nothing collides: test_near.py."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import math

import numpy as np
import pytest
from blake3 import blake3
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.encode import (
    digest,
    digest_frames,
    encode,
    encode_kwargs,
    frame,
    hexdigest,
    kwargs_frame,
    plain,
)

# The starts of H("test/v1", value), fixed when the encoding was specified. A change needs a new schema.
GOLDEN = [
    (None, "3b4c5b67"),
    (True, "77384ef9"),
    (1, "b2e50d7e"),
    (1.0, "1dc1f313"),
    (-0.0, "22dbb99b"),
    ("1", "c959945d"),
    ([1], "7606fd34"),
    ((1,), "6345e336"),
    (["a-b", "c"], "b012db49"),
    (["a", "b-c"], "2a8057cc"),
    ({"a": 1}, "1ab26196"),
    ({1: 2}, "9a03f4d3"),
    ({"1": 2}, "d8696ea4"),
    (frozenset({1, "1"}), "897641b2"),
]


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(("value", "start"), GOLDEN)
def test_digest_is_pinned(value, start):
    """The encoding of plain values never changes under one schema."""
    assert hexdigest("test/v1", value).startswith(start)


def test_frame_is_tag_length_body():
    """A frame is u8 length of the tag, the tag, u64 little-endian length of the body, the body."""
    assert frame("int", b"12") == b"\x03int" + b"\x02\0\0\0\0\0\0\0" + b"12"


def test_digest_is_blake3_of_a_domain_frame():
    """H(domain, items) is BLAKE3 of one frame that holds the items' frames."""
    by_hand = b"\x06fit/v1" + (24).to_bytes(8, "little") + 2 * (b"\x03int" + (0).to_bytes(8, "little"))
    assert digest_frames("fit/v1", frame("int", b""), frame("int", b"")) == blake3(by_hand).digest()
    assert digest("fit/v1", 1, 2) == digest_frames("fit/v1", encode(1), encode(2))


def test_kwargs_frame_reuses_encoded_values():
    """A mapping encodes to the same bytes from values or from frames made before, in any order."""
    frames = {"b": encode(2.0), "a": encode([1])}
    assert kwargs_frame(frames) == encode_kwargs({"a": [1], "b": 2.0})
    assert kwargs_frame(frames) != encode({"a": [1], "b": 2.0})


@pytest.mark.parametrize(
    "value",
    [
        object(),
        SVC().fit([[0.0], [1.0]], [0, 1]),
        FrozenEstimator(StandardScaler()),
        np.matrix([[1]]),
        np.ma.masked_array([1], [True]),
        np.longdouble(1),
        np.array([object()]),
        (i for i in ()),
        type("Sub", (dict,), {})(),
        10**5000,
        math,
        np.frompyfunc(abs, 1, 1),
        functools.reduce(lambda inner, _: [inner], range(250), []),
        "x" * (17 << 20),
        b"x" * (17 << 20),
    ],
    ids=lambda value: type(value).__name__,
)
def test_encode_refuses(value):
    """Whatever has no stable encoding is refused, never guessed at."""
    with pytest.raises(Uncacheable):
        encode(value)


def test_encode_refuses_cycles():
    """A value that contains itself is refused, with the place where it does."""
    loop: list = [1]
    loop.append(loop)
    with pytest.raises(Uncacheable, match="contains itself") as caught:
        encode(loop, "grid")
    assert caught.value.path == "grid[1]"


def test_encode_names_the_place_of_a_refusal():
    """The error carries the path to the value and the reason."""
    with pytest.raises(Uncacheable) as caught:
        encode({"a": [1, SVC(kernel=object())]}, "params")
    assert caught.value.path == "params['a'][1].kernel"
    assert "builtins.object" in caught.value.reason


def test_encode_shares_members_without_calling_them_cycles():
    """One object in two places is no cycle."""
    inner = [1]
    assert encode([inner, inner]) == encode([[1], [1]])


def test_encode_stops_growing_values_early():
    """A small object whose encoding would be huge is refused before it is built."""
    doubled = functools.reduce(lambda inner, _: [inner, inner], range(60), ["x" * 4096])
    with pytest.raises(Uncacheable, match="16 MiB"):
        encode(doubled)


def test_plain_gives_python_values():
    """Numpy scalars become the Python value of their kind, everywhere in lists, tuples and dicts."""
    found = plain({"a": [np.float32(0.5), np.int8(3)], "b": (np.bool_(True), np.str_("x"))})
    assert found == {"a": [0.5, 3], "b": (True, "x")}
    assert [type(v) for v in (*found["a"], *found["b"])] == [float, int, bool, str]


def test_plain_leaves_what_it_need_not_change():
    """The very object comes back if nothing in it is a numpy scalar; datetimes have no Python kind."""
    value = {"a": [1, (2.0, None)]}
    stamp = np.datetime64("2024-01-01", "ns")
    assert plain(value) is value
    assert plain(stamp) is stamp


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Color.RED, Color.BLUE),
        (Color.RED, 1),
        (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
        (datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1)),
        (datetime.timedelta(days=1), datetime.timedelta(hours=23)),
        (datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)),
        (range(3), [0, 1, 2]),
        (np.datetime64("2024-01-01"), np.datetime64("2024-01-01", "ns")),
        (np.dtype("f4"), np.dtype("f8")),
        (1j, 1),
    ],
)
def test_rare_types_are_told_apart(left, right):
    """Each rarer type has an encoding of its own, the same on every call."""
    assert encode(left) == encode(left)
    assert encode(left) != encode(right)


def test_request_flags_count():
    """A routing request is part of an estimator, and of a scorer, though no parameter shows it."""
    with config_context(enable_metadata_routing=True):
        asks = StandardScaler().set_fit_request(sample_weight=True)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    assert encode(asks) != encode(StandardScaler())
    assert encode(scorer) != encode(make_scorer(accuracy_score))
