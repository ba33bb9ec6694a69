"""Keys of folds and steps, and what tells two of them apart.

Rule 1: a key is role, own identity, upstream keys and extras, under a versioned domain; computed before
anything runs.
Rule 2: nothing positional enters: where a candidate stood in a list, its retry, its host and its user.
Rule 3: `KEY_SCHEMA` rises whenever the meaning of a key changes, so that old entries can only miss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from blake3 import blake3

from prefect_tune.identity import arrays
from prefect_tune.identity.encode import digest_frames, encode, frame, ref

KEY_SCHEMA = "1"
DIGEST_BYTES = 32
_DOMAIN = f"step/v{KEY_SCHEMA}"


def fold_key(data_digest: bytes, indices: np.ndarray | None) -> bytes:
    """32 bytes: the rows of a data set that are meant, in their order; None means all of it.

    `indices` are positions, materialised once; a mask or a splitter is no identity.
    """
    if indices is None:
        return digest_frames("fold/v1", ref(data_digest), encode(None))
    if indices.dtype.kind not in "iu":
        raise TypeError(f"fold_key: 'indices' must be integer positions, got {indices.dtype}.")
    rows = arrays.fingerprint(np.ascontiguousarray(indices, dtype="<i8"))[0]
    return digest_frames("fold/v1", ref(data_digest), ref(rows))


@lru_cache(maxsize=1024)
def _role_frame(role: str) -> bytes:
    return encode(role)


def step_key(role: str, identity: bytes, upstream: Sequence[bytes], extras: bytes = b"") -> bytes:
    """32 bytes: the key of a step.

    `role` says which artefact is meant (fit, transform, score ...); `identity` is the step's own digest;
    `upstream` the 32-byte keys of its inputs, in order; `extras` any further encoded frames.
    """
    inputs = b"".join(upstream)
    if len(inputs) != DIGEST_BYTES * len(upstream):
        raise ValueError("step_key: each of 'upstream' must be a digest of 32 bytes.")
    # One frame each for identity, inputs and extras: their lengths keep them apart.
    body = b"".join(
        (
            _role_frame(role),
            len(identity).to_bytes(8, "little"),
            identity,
            len(inputs).to_bytes(8, "little"),
            inputs,
            len(extras).to_bytes(8, "little"),
            extras,
        )
    )
    return blake3(frame(_DOMAIN, body)).digest()


def explain(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """One line: the first named field in which two pre-images differ, with both values.

    Fields are looked at in the order of `a`, then those only `b` has; nested mappings field by field.
    """
    found = _first_difference(a, b, "")
    return found or "the pre-images are equal"


def _first_difference(a: Mapping[str, Any], b: Mapping[str, Any], path: str) -> str | None:
    for name in [*a, *(key for key in b if key not in a)]:
        place = f"{path}.{name}" if path else str(name)
        if name not in b:
            return f"{place}: {a[name]!r} against nothing"
        if name not in a:
            return f"{place}: nothing against {b[name]!r}"
        left, right = a[name], b[name]
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            nested = _first_difference(left, right, place)
            if nested is not None:
                return nested
        elif not _same(left, right):
            return f"{place}: {left!r} against {right!r}"
    return None


def _same(left: Any, right: Any) -> bool:
    """Equal in type and content: 1, 1.0 and True differ, as in the keys."""
    return encode(left) == encode(right)
