"""Data as a reference: canonicalised once into the store, named by content, never carried along.

Rule 1: from ingestion on only a `DataRef` travels; workers map the stored bytes.
Rule 2: the stored form is what every consumer sees, the process that ingested it included.
Rule 3: data without an identity (objects of unknown type) gets a random one: the search runs, nothing of it
is shared with another run, and the report says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_tune.errors import DataError, Uncacheable
from prefect_tune.store import BlobRef, MissingBlob, Record, StepStore

DATA_SCOPE = "da7a"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRef:
    """A value in the store: what it is called, where its bytes are, and how many rows it has.

    Attributes:
        identity: digest of the canonical value, 64 hex characters.
        blob: digest, size and codec of the stored bytes.
        rows: number of samples; -1 for a value without rows.
        kind: type and shape in words, for people.
        unstable: why the value has no identity of its own; empty when it has.
    """

    identity: str
    blob: BlobRef
    rows: int
    kind: str
    unstable: str = ""

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.identity)

    @property
    def scope(self) -> str:
        """The store's scope for results computed on this data."""
        return self.identity[:16]

    def to_json(self) -> dict[str, Any]:
        """A JSON form that a flow's parameters can hold."""
        blob = {"digest": self.blob.digest, "size": self.blob.size, "codec": self.blob.codec}
        return {"data": self.identity, "blob": blob, "rows": self.rows, "kind": self.kind,
                "unstable": self.unstable}  # fmt: skip

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> DataRef:
        """The reference that `to_json` wrote.

        Raises:
            DataError: when the mapping is not such a form.
        """
        try:
            blob = BlobRef(name="data", **form["blob"])
            return cls(identity=form["data"], blob=blob, rows=form["rows"], kind=form["kind"],
                       unstable=form.get("unstable", ""))  # fmt: skip
        except (KeyError, TypeError) as error:
            raise DataError(
                f"data: {dict(form)!r} is no reference written by ingest(); pass arrays, a frame, a path or "
                "the reference that ingest() returned."
            ) from error


def ingest(value: Any, store: StepStore | None = None, *, name: str = "X") -> DataRef:
    """A reference to `value` in the store; equal values give equal references, in any process.

    Args:
        value: array, sparse matrix, DataFrame, Series, Arrow table, list, or a path to a Parquet, CSV or
            `.npy` file.
        store: where to put it; None: the default store.
        name: what errors call it.

    Raises:
        DataError: a path that cannot be read.
    """
    from prefect_tune.identity.data import fingerprint

    store = store if store is not None else _default_store()
    value = read_file(value, name) if isinstance(value, (str, Path)) else value
    try:
        digest, canonical = fingerprint(value, name)
        unstable = ""
    except Uncacheable as error:
        digest, canonical, unstable = secrets.token_bytes(32), value, str(error)
    identity = digest.hex()
    known = store.get(identity, DATA_SCOPE)
    if known is not None and store.has_blob(known.outputs[0].digest):
        blob = known.outputs[0]
    else:
        record = Record(key=identity, kind="data", family=type(value).__name__)
        record = store.put(record, {"data": canonical}, DATA_SCOPE)
        blob = record.outputs[0] if record.outputs else store.put_blob(canonical)
    if blob.codec == "pickle" and getattr(store, "trust", "local") == "data-only":
        raise DataError(
            f"{name}: a {type(value).__name__} is kept as a pickle, and the store at {store.place} is "
            f"data-only ({store.trust_reason}). Pass numpy arrays or sparse matrices, or open the store with "
            "trust='local'."
        )
    try:
        store.load_blob(blob)  # workers cannot replace damaged data, this process can
    except MissingBlob:
        blob = store.put_blob(canonical)
    return DataRef(identity=identity, blob=blob, rows=_rows(canonical), kind=_kind(canonical),
                   unstable=unstable)  # fmt: skip


def read_file(path: str | Path, name: str) -> Any:
    """The table or array in a file: Parquet (file or folder), CSV, or `.npy`."""
    import numpy as np
    import pandas as pd

    place = Path(path)
    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".npy": np.load}
    reader = pd.read_parquet if place.is_dir() else readers.get(place.suffix)
    if reader is None:
        raise DataError(f"{name}: {str(path)!r} is not a .parquet, .csv or .npy file nor a Parquet folder.")
    try:
        return reader(place)
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: {str(path)!r} cannot be read ({error}).") from error


def _default_store() -> StepStore:
    from prefect_tune.store.home import default_root

    return StepStore.open(default_root())


def _rows(value: Any) -> int:
    if hasattr(value, "shape"):
        return int(value.shape[0]) if len(value.shape) else -1
    return len(value) if hasattr(value, "__len__") else -1


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    length = len(value) if shape is None and hasattr(value, "__len__") else ""
    size = length if shape is None else "×".join(map(str, shape))
    return f"{type(value).__name__} {size}".strip()
