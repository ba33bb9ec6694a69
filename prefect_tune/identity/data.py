"""One door to the fingerprints of data: the digest, and the canonical object to use from then on.

Rule: callers go on with the returned object, never with the one they passed; only so do equal digests mean
equal layout, and layout changes the last bits of a fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import arrays
from prefect_tune.identity.encode import digest_frames, encode, plain


def fingerprint(value: Any, path: str = "") -> tuple[bytes, Any]:
    """The 32-byte digest of a piece of data, and its canonical form.

    Takes numpy arrays, pandas frames, series and indexes, Arrow tables and arrays, scipy sparse matrices,
    lists, tuples, and any value that `encode` takes. Raises `Uncacheable` for everything else.
    """
    if isinstance(value, np.ndarray):
        return arrays.fingerprint(value, path)
    if type(value) in (list, tuple):
        return arrays.fingerprint_sequence(value, path)
    module = module_of(value)
    if module is not None:
        return module.fingerprint(value, path)
    value = plain(value)
    return digest_frames("value/v1", encode(value, path)), value


def parameter_digest(value: Any, path: str = "") -> bytes:
    """The digest of a piece of data that is a parameter: it is used as it is, so its layout counts."""
    if isinstance(value, np.ndarray):
        return arrays.parameter_digest(value, path)
    module = module_of(value)
    if module is None:
        raise Uncacheable(path, f"{type(value).__qualname__} is not data")
    own = getattr(module, "parameter_digest", None)
    return own(value, path) if own is not None else module.fingerprint(value, path)[0]


def module_of(value: Any) -> Any:
    """The module here that knows this kind of data, or None. Imports no data package that is not loaded."""
    home = type(value).__module__.partition(".")[0]
    if home == "scipy":
        from prefect_tune.identity import sparse

        return sparse if type(value) in sparse.REGISTERED else None
    if home == "pyarrow":
        import pyarrow as pa

        from prefect_tune.identity import arrow

        return arrow if isinstance(value, (pa.Table, pa.RecordBatch, pa.Array, pa.ChunkedArray)) else None
    if home == "pandas":
        import pandas as pd

        from prefect_tune.identity import frames

        return frames if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)) else None
    return None
