"""Chunks of data in memory: into the store once, then cut by row numbers.

Rule 1: a chunk's identity is made of the digests of its own rows, so that rows appended in whole chunks leave
the chunks before them as they were.
Rule 2: plain arrays and CSR matrices are stored whole and mapped, a chunk is a range of them. What comes back
from the store only by reading all of it (frames, lists, CSC) is stored chunk by chunk.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from prefect_tune.chunks.model import Chunk, ChunkedData, StoredRows, content_identity
from prefect_tune.chunks.rows import row_count, row_range, without_position
from prefect_tune.data import DataRef, ingest
from prefect_tune.errors import DataError, Uncacheable
from prefect_tune.identity.data import fingerprint
from prefect_tune.store import StepStore
from prefect_tune.store.arrays import is_plain_array, sparse_class

Parts = dict[str, Any]  # "X", "y" if there is one, and "params.<name>"; none of them None
Refs = dict[str, DataRef]
_PARAM = "params."


def cut_memory(
    X: Any, y: Any, params: Mapping[str, Any], store: StepStore, chunk_size: int | None
) -> ChunkedData:
    """The data in chunks of `chunk_size` rows, the last one shorter; None: one chunk.

    Raises:
        DataError: the parts differ in length, or there are no rows.
    """
    given = {"X": X, "y": y, **{_PARAM + name: value for name, value in params.items()}}
    given = {name: value for name, value in given.items() if value is not None}
    prepared = {name: _prepared(value, store) for name, value in given.items()}
    parts = {name: part for name, (part, _) in prepared.items()}
    rows = check_lengths({name: row_count(part) for name, part in parts.items()})
    size = min(chunk_size or rows, rows)
    bounds = [(start, min(start + size, rows)) for start in range(0, rows, size)]
    if len(bounds) == 1 or all(map(_is_mapped, parts.values())):
        refs = {name: known or ingest(part, store, name=name) for name, (part, known) in prepared.items()}
        chunks = list(_ranges(refs, bounds, store))
    else:
        cut = [{name: _slice(part, *where) for name, part in parts.items()} for where in bounds]
        chunks = [stored_chunk({n: ingest(p, store, name=n) for n, p in part.items()}) for part in cut]
    unstable = next((reason for _, reason in chunks if reason), "")
    return ChunkedData(
        chunks=tuple(chunk for chunk, _ in chunks), kind=_words(parts["X"], len(bounds)), unstable=unstable
    )


def check_lengths(lengths: Mapping[str, int], where: str = "") -> int:
    """The number of rows that all parts have.

    Raises:
        DataError: a part has another length than X, or X has no rows.
    """
    rows = lengths.get("X", -1)
    if rows < 0:
        raise DataError(f"X{where}: has no rows; pass an array, a frame, a sparse matrix, a list or a path.")
    for name, count in lengths.items():
        if count != rows:
            what = f"{count} entries" if count >= 0 else "one value"
            raise DataError(
                f"{name.removeprefix(_PARAM)}{where}: has {what}, but X has {rows} rows; pass one entry per "
                "row."
            )
    if rows == 0 and not where:
        raise DataError("X: has no rows; there is nothing to train on.")
    return rows


def stored_chunk(refs: Refs) -> tuple[Chunk, str]:
    """The chunk that is all rows of these references, and why it has no identity; empty when it has."""
    identity = content_identity(*_grouped({name: ref.digest for name, ref in refs.items()}))
    return _chunk(refs, identity, 0, refs["X"].rows), _reason(refs.values())


def part_names(y: Any, params: Mapping[str, Any]) -> list[str]:
    """The names of the parts of such data, X first."""
    return ["X", *(["y"] if y is not None else []), *[_PARAM + name for name in params]]


def _prepared(value: Any, store: StepStore) -> tuple[Any, DataRef | None]:
    """A part in the form in which it is cut, and the reference that means it, if there is one already."""
    part = value = store.load_blob(value.blob) if (given := _reference(value)) else value
    if type(value).__module__.partition(".")[0] == "pyarrow" and hasattr(value, "to_pandas"):
        part = value.to_pandas()
    part = without_position(part)
    return part, given if part is value else None


def _reference(value: Any) -> DataRef | None:
    return value if isinstance(value, DataRef) else None


def _is_mapped(part: Any) -> bool:
    sparse = sparse_class(part)
    return is_plain_array(part) or (sparse is not None and not sparse.startswith("csc"))


def _ranges(refs: Refs, bounds: list[tuple[int, int]], store: StepStore) -> Iterable[tuple[Chunk, str]]:
    """The chunks of stored parts, and why one has no identity."""
    if len(bounds) == 1:
        yield stored_chunk(refs)
        return
    # Read back: slices of the canonical form, which is what a reader of the chunk will see.
    parts = {name: store.load_blob(ref.blob) for name, ref in refs.items()}
    for start, stop in bounds:
        digests = {name: _digest(row_range(part, start, stop), name) for name, part in parts.items()}
        yield _chunk(refs, content_identity(*_grouped(digests)), start, stop), _reason(refs.values())


def _digest(part: Any, name: str) -> bytes:
    try:
        return fingerprint(part, name)[0]
    except Uncacheable:  # as `ingest` found: the reference says why
        return secrets.token_bytes(32)


def _slice(part: Any, start: int, stop: int) -> Any:
    return without_position(row_range(part, start, stop))


def _grouped(parts: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """(X, y or None, per-row arguments by name)."""
    params = {n.removeprefix(_PARAM): part for n, part in parts.items() if n.startswith(_PARAM)}
    return parts["X"], parts.get("y"), params


def _chunk(refs: Refs, identity: str, start: int, stop: int) -> Chunk:
    X, y, params = _grouped(refs)
    source = StoredRows(X=X, y=y, params=params, start=start, stop=stop)
    return Chunk(identity=identity, rows=stop - start, source=source)


def _reason(refs: Iterable[DataRef]) -> str:
    return next((ref.unstable for ref in refs if ref.unstable), "")


def _words(X: Any, chunks: int) -> str:
    shape = "×".join(map(str, getattr(X, "shape", (row_count(X),))))
    return f"{type(X).__name__} {shape} in {chunks} chunk{'s' if chunks > 1 else ''}"
