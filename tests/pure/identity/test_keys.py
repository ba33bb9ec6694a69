"""Keys of folds and steps hold what determines a result, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3

from prefect_tune.identity.keys import KEY_SCHEMA, explain, fold_key, step_key

IDENTITY, FOLD = b"i" * 32, b"f" * 32


def test_step_key_is_one_digest_of_prefixed_parts():
    """A step key is BLAKE3 over one frame: role, then identity, inputs and extras, each with its length."""
    size = lambda part: len(part).to_bytes(8, "little") + part  # noqa: E731
    body = b"\x03str" + size(b"fit") + size(IDENTITY) + size(FOLD + IDENTITY) + size(b"xy")
    assert KEY_SCHEMA == "1"
    assert step_key("fit", IDENTITY, [FOLD, IDENTITY], b"xy") == blake3(b"\x07step/v1" + size(body)).digest()


def test_step_key_refuses_short_inputs():
    """An input that is no 32-byte digest is a bug of the caller, not a key."""
    with pytest.raises(ValueError, match="32 bytes"):
        step_key("fit", IDENTITY, [b"short"])


def test_fold_key_ignores_the_width_of_positions():
    """Rows are positions: int32 and int64 arrays of them mean the same fold."""
    assert fold_key(FOLD, np.array([3, 1], "i4")) == fold_key(FOLD, np.array([3, 1], "i8"))


@pytest.mark.parametrize("indices", [np.array([True, False]), np.array([1.0])])
def test_fold_key_refuses_masks(indices):
    """A mask is not a list of positions; taking it for one would merge folds."""
    with pytest.raises(TypeError, match="positions"):
        fold_key(FOLD, indices)


@pytest.mark.parametrize(
    ("a", "b", "line"),
    [
        ({"x": 1}, {"x": 1}, "the pre-images are equal"),
        ({"x": 1, "C": 1}, {"x": 1, "C": 1.0}, "C: 1 against 1.0"),
        ({"p": {"C": 1, "k": "a"}}, {"p": {"C": 1, "k": "b"}}, "p.k: 'a' against 'b'"),
        ({"x": 1}, {"x": 1, "seed": 3}, "seed: nothing against 3"),
        ({"salt": "", "x": 1}, {"x": 1}, "salt: '' against nothing"),
    ],
)
def test_explain_names_the_first_difference(a, b, line):
    """Two pre-images are told apart by the first named field that differs, types included."""
    assert explain(a, b) == line
