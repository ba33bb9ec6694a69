"""Digests of Arrow arrays and tables, with the canonical object to go on with.

Rule 1: equal arrays share a digest however they are chunked, sliced or padded: chunks are combined,
offsets rebased, values under nulls zeroed. IPC bytes are not canonical.
Rule 2: the type counts, dictionary and indices both count, schema metadata does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.arrays import array_ref
from prefect_tune.identity.encode import digest_frames, encode, frame, ref


def fingerprint(value: Any, path: str = "") -> tuple[bytes, Any]:
    """The digest of an Arrow Table, RecordBatch, Array or ChunkedArray, and the same in one chunk."""
    import pyarrow as pa

    if isinstance(value, pa.RecordBatch):
        value = pa.Table.from_batches([value])
    if not isinstance(value, pa.Table):
        array = combined(value, path)
        return array_digest(array, path), array
    columns = [
        combined(column, f"{path}.{name}")
        for name, column in zip(value.column_names, value.columns, strict=True)
    ]
    parts = [encode(value.num_rows)]
    for field, column in zip(value.schema, columns, strict=True):
        parts += [
            encode(field.name),
            encode(field.nullable),
            ref(array_digest(column, f"{path}.{field.name}")),
        ]
    return digest_frames("arrow-table/v1", *parts), pa.Table.from_arrays(columns, schema=value.schema)


def combined(value: Any, path: str = "") -> Any:
    """One Arrow Array with the content of an Array or ChunkedArray."""
    import pyarrow as pa

    if isinstance(value, pa.ChunkedArray):
        if pa.types.is_dictionary(value.type):
            value = value.unify_dictionaries()
        value = value.chunk(0) if value.num_chunks == 1 else value.combine_chunks()
        if isinstance(value, pa.ChunkedArray):
            if value.num_chunks > 1:
                raise Uncacheable(path, "text of more than 2 GiB; cast it to large_string")
            value = value.chunk(0) if value.num_chunks else pa.array([], value.type)
    if not isinstance(value, pa.Array) or isinstance(value, pa.ExtensionArray):
        raise Uncacheable(path, f"{type(value).__qualname__} has no encoding")
    return value


def array_digest(array: Any, path: str = "") -> bytes:
    """The digest of one Arrow Array."""
    valid = _validity(array)
    return digest_frames(
        "arrow/v1",
        encode(str(array.type)),
        encode(len(array)),
        encode(None) if valid is None else array_ref(np.packbits(valid)),
        _body(array, valid, path),
    )


def _validity(array: Any) -> np.ndarray | None:
    """One bool per slot, or None if there is no null."""
    if array.null_count == 0:
        return None
    return array.is_valid().to_numpy(zero_copy_only=False)


def _body(array: Any, valid: np.ndarray | None, path: str) -> bytes:
    """The frame of the values, by the family of their type."""
    import pyarrow.types as t

    kind = array.type
    if t.is_null(kind):
        return encode(None)
    if t.is_string_view(kind) or t.is_binary_view(kind):
        import pyarrow as pa

        wide = pa.large_string() if t.is_string_view(kind) else pa.large_binary()
        return _text(array.cast(wide), valid)
    if t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind):
        return _text(array, valid)
    if t.is_dictionary(kind):
        parts = [array_digest(part, path) for part in (array.indices, array.dictionary)]
        return frame("dictionary", encode(kind.ordered) + b"".join(map(ref, parts)))
    if t.is_struct(kind):
        parts = [encode(kind.num_fields)]
        for field, child in zip(kind, array.flatten(), strict=True):
            parts += [encode(field.name), ref(array_digest(child, f"{path}.{field.name}"))]
        return frame("struct", b"".join(parts))
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        values = array_digest(array.flatten(), path)
        return frame("lists", array_ref(lengths.astype("<i8")) + ref(values))
    return _fixed(array, valid, path)


def _text(array: Any, valid: np.ndarray | None) -> bytes:
    """Lengths and joined bytes; a null takes no bytes, whatever lies under it."""
    wide = "<i8" if str(array.type).startswith("large") else "<i4"
    if valid is not None:
        import pyarrow as pa

        empty = pa.scalar("" if "string" in str(array.type) else b"", array.type)
        array = array.fill_null(empty)
    start, count = array.offset, len(array)
    _, offset_buffer, data = array.buffers()
    if count == 0 or offset_buffer is None:
        return frame("text", array_ref(np.empty(0, "<i8")) + array_ref(np.empty(0, "u1")))
    offsets = np.frombuffer(offset_buffer, wide)[start : start + count + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    body = np.frombuffer(data, "u1")[first:last] if data is not None and last > first else np.empty(0, "u1")
    return frame("text", array_ref(offsets[1:] - offsets[:-1]) + array_ref(body))


def _fixed(array: Any, valid: np.ndarray | None, path: str) -> bytes:
    """The bytes of values of one width, zero under nulls."""
    import pyarrow.types as t

    buffers, start, count = array.buffers(), array.offset, len(array)
    if len(buffers) != 2:
        raise Uncacheable(path, f"Arrow type {array.type} has no encoding")
    if t.is_boolean(array.type):
        raw = np.frombuffer(buffers[1], "u1") if buffers[1] is not None else np.empty(0, "u1")
        bits = np.unpackbits(raw, bitorder="little")[start : start + count]
        return frame("bits", array_ref(np.packbits(bits if valid is None else bits * valid)))
    try:
        width = array.type.byte_width
    except (AttributeError, ValueError):
        raise Uncacheable(path, f"Arrow type {array.type} has no encoding") from None
    raw = np.frombuffer(buffers[1], "u1") if buffers[1] is not None else np.empty(0, "u1")
    values = raw[start * width : (start + count) * width]
    if valid is not None:
        values = values.reshape(count, width).copy()
        values[~valid] = 0
    return frame("fixed", array_ref(values))
