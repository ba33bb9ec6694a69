"""Digests of scipy sparse matrices and arrays, with the canonical object to go on with.

Rule 1: sorted indices, duplicates summed, explicit zeros kept; done on a copy, and the copy is used.
Rule 2: CSR and CSC keep their format, every other format becomes CSR. Matrix and array classes differ.
Rule 3: flags on the object (`has_sorted_indices`) are not believed: anyone can set them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import arrays
from prefect_tune.identity.encode import digest_frames, encode, ref

_FORMATS = ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")
_FAMILY = {
    getattr(scipy.sparse, f"{form}_{family}"): family for form in _FORMATS for family in ("array", "matrix")
}
REGISTERED = frozenset(_FAMILY)


def _compressed(value: Any, path: str) -> Any:
    """A CSR or CSC of its own over the value's buffers, with fresh flags and no spare room."""
    if type(value) not in REGISTERED:
        raise Uncacheable(path, f"{type(value).__qualname__} is not a known sparse class")
    source = value if value.format in ("csr", "csc") else value.tocsr()
    count = int(source.indptr[-1])
    parts = tuple(np.ascontiguousarray(part) for part in (source.data[:count], source.indices[:count]))
    return type(source)((*parts, np.ascontiguousarray(source.indptr)), shape=source.shape, copy=False)


def _digest(matrix: Any, path: str) -> bytes:
    parts = [arrays.fingerprint(part, path)[0] for part in (matrix.indptr, matrix.indices, matrix.data)]
    return digest_frames(
        "sparse/v1",
        encode(_FAMILY[type(matrix)]),
        encode(matrix.format),
        encode(tuple(int(n) for n in matrix.shape)),
        *[ref(part) for part in parts],
    )


def fingerprint(value: Any, path: str = "") -> tuple[bytes, Any]:
    """The digest of a sparse matrix as data, and its canonical CSR or CSC."""
    matrix = _compressed(value, path)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix = _compressed(matrix, path)
    return _digest(matrix, path), matrix


def parameter_digest(value: Any, path: str = "") -> bytes:
    """The digest of a sparse matrix as a parameter: stored order and duplicates count, as it is used so."""
    return _digest(_compressed(value, path), path)
