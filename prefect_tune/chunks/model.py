"""Chunks as values: where their rows lie, what they are called, and their JSON form.

Rule: sources are small and picklable; the identity says what the rows are, the source only where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from prefect_tune.data import DataRef
from prefect_tune.errors import DataError
from prefect_tune.identity.encode import digest, digest_frames, ref


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRows:
    """Rows start..stop of data in the store.

    Attributes:
        X: features; y: targets, or None; params: per-row arguments by name. All are cut alike.
        start: first row; stop: the row after the last.
    """

    X: DataRef
    y: DataRef | None = None
    params: Mapping[str, DataRef] = field(default_factory=dict)
    start: int = 0
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetRows:
    """Row groups of a Parquet file, read in place.

    Attributes:
        path: of the file, absolute.
        row_groups: their numbers in the file.
        columns: features, in the order in which X has them; None: every column that is nothing else.
        target: the column that is y, if any.
        params: per-row arguments: name of the argument to name of the column.
        file: BLAKE3 of the whole file, 64 hex characters; empty: not checked when it is read.
        size: bytes; mtime_ns: time of the last change, by which a change is noticed.
    """

    path: str
    row_groups: tuple[int, ...]
    columns: tuple[str, ...] | None = None
    target: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one training call can see: its identity, how many rows it has, and where they are.

    Attributes:
        identity: digest of the content, 64 hex characters.
        rows: may be 0; an empty chunk still counts as a call.
        source: where the rows are.
    """

    identity: str
    rows: int
    source: StoredRows | ParquetRows


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRows:
    """The rows of a chunk in memory; `y` is None without a target."""

    X: Any
    y: Any
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChunkedData:
    """A data set as a row of chunks.

    Attributes:
        chunks: in the order of the data.
        kind: what it is, in words, for people.
        unstable: why it has no identity of its own (no other run shares its results); empty when it has.
        appendable: whether chunks may be added later, so that nothing may depend on their number.
    """

    chunks: tuple[Chunk, ...]
    kind: str
    unstable: str = ""
    appendable: bool = False

    @property
    def n_chunks(self) -> int:
        return len(self.chunks)

    @cached_property
    def rows(self) -> int:
        """Number of samples."""
        return sum(chunk.rows for chunk in self.chunks)

    @cached_property
    def identity(self) -> str:
        """Digest of the chunks in their order, 64 hex characters."""
        return digest_frames("chunks/v1", *[ref(bytes.fromhex(c.identity)) for c in self.chunks]).hex()

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.identity)

    @property
    def scope(self) -> str:
        """The store's scope for results computed on this data."""
        return self.identity[:16]

    def to_json(self) -> dict[str, Any]:
        """A JSON form that a flow's parameters can hold; what chunks have in common is written once."""
        table = _Table()
        chunks = [[c.identity, c.rows, *_freeze(c.source, table)] for c in self.chunks]
        return {"chunks": chunks, "common": table.rows, "kind": self.kind, "unstable": self.unstable,
                "appendable": self.appendable}  # fmt: skip

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> ChunkedData:
        """The data that `to_json` wrote.

        Raises:
            DataError: when the mapping is not such a form.
        """
        try:
            common = _Common(form["common"])
            chunks = [
                Chunk(identity=identity, rows=rows, source=_thaw(kind, fields, common))
                for identity, rows, kind, fields in form["chunks"]
            ]
            return cls(chunks=tuple(chunks), kind=form["kind"], unstable=form["unstable"],
                       appendable=form["appendable"])  # fmt: skip
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                "data: the mapping is no chunked data written by to_json(); pass arrays, a frame or the path "
                f"of a Parquet folder ({type(error).__name__}: {error})."
            ) from error


def content_identity(X: bytes, y: bytes | None, params: Mapping[str, bytes]) -> str:
    """The identity of a chunk from the digests of its parts, whatever they were cut from."""
    return digest("chunk/v1", X, y, sorted(params.items())).hex()


class _Table:
    """JSON values, each written once, and their numbers."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, value: Any) -> int:
        key = orjson.dumps(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.rows)
            self.rows.append(value)
        return self._numbers[key]


class _Common:
    """The values of a table, each built once."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._built: dict[int, Any] = {}

    def get(self, number: int, build: Callable[[Any], Any]) -> Any:
        if number not in self._built:
            self._built[number] = build(self._rows[number])
        return self._built[number]


def _freeze(source: StoredRows | ParquetRows, table: _Table) -> tuple[str, list[Any]]:
    if isinstance(source, StoredRows):
        refs = [source.X.to_json(), source.y.to_json() if source.y is not None else None]
        params = {name: param.to_json() for name, param in source.params.items()}
        return "stored", [table.add([*refs, params]), source.start, source.stop]
    columns = list(source.columns) if source.columns is not None else None
    layout = table.add([columns, source.target, dict(source.params)])
    file = table.add([source.path, source.file, source.size, source.mtime_ns])
    return "parquet", [file, list(source.row_groups), layout]


def _thaw(kind: str, fields: Sequence[Any], common: _Common) -> StoredRows | ParquetRows:
    if kind == "stored":
        number, start, stop = fields
        X, y, params = common.get(number, _refs)
        return StoredRows(X=X, y=y, params=params, start=start, stop=stop)
    if kind != "parquet":
        raise ValueError(f"a chunk of kind {kind!r}")
    (path, file, size, mtime_ns), groups = common.get(fields[0], tuple), fields[1]
    columns, target, params = common.get(fields[2], _layout)
    return ParquetRows(
        path=path, row_groups=tuple(groups), columns=columns, target=target, params=params,
        file=file, size=size, mtime_ns=mtime_ns,
    )  # fmt: skip


def _refs(form: Sequence[Any]) -> tuple[DataRef, DataRef | None, dict[str, DataRef]]:
    X, y, params = form
    build = DataRef.from_json
    return build(X), build(y) if y is not None else None, {name: build(p) for name, p in params.items()}


def _layout(form: Sequence[Any]) -> tuple[tuple[str, ...] | None, str | None, dict[str, str]]:
    columns, target, params = form
    return tuple(columns) if columns is not None else None, target, dict(params)
