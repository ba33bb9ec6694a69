"""Values as buffers of one blob, and back without copying.

| value | codec |
|---|---|
| array of plain dtype | `ndarray`: read by map |
| SciPy csr, csc, bsr, coo, dia | `sparse`: its arrays, read by map |
| None, bool, int, float, str, and lists, tuples, dicts of them, up to 10,000 | `json` |
| anything else | `pickle`: protocol 5, buffers of 64 KiB and more by map; cloudpickle for `__main__` |

Rule 1: what comes back has the same type, dtype, shape and layout, bit for bit.
Rule 2: only `pickle` runs code when it is read; whoever calls `decode` decides with `unpickle` if it may.
Rule 3: arrays come back read-only. `writable` sources give writable ones, even if they were read-only before.
"""

from __future__ import annotations

import ctypes
import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import orjson

from prefect_tune.store.arrays import (
    dump_array,
    dump_sparse,
    is_plain_array,
    load_array,
    load_sparse,
    sparse_class,
)
from prefect_tune.store.container import BadBlob, Bytes, Source, pack, unpack
from prefect_tune.store.values import freeze, thaw

CODECS = ("ndarray", "sparse", "json", "pickle")
OUT_OF_BAND = 1 << 16
MAX_JSON_ITEMS = 10_000


class Forbidden(ValueError):
    """A pickle where pickles are not read."""


def encode(value: Any, codec: str | None = None) -> tuple[str, list[Bytes]]:
    """Name of the codec and the buffers of the blob; buffers are views on `value` where possible.

    Raises TypeError if `codec` is given and cannot hold the value; whatever pickle raises if nothing can.
    """
    if codec not in (None, *CODECS):
        raise ValueError(f"codec: {codec!r} is unknown. It has: {', '.join(CODECS)}.")
    if codec in (None, "ndarray") and is_plain_array(value):
        meta, data = dump_array(value)
        return "ndarray", pack("ndarray", meta, [data])
    if codec in (None, "sparse") and sparse_class(value):
        meta, parts = dump_sparse(value)
        return "sparse", pack("sparse", meta, parts)
    if codec in (None, "json") and (text := _json(value)) is not None:
        return "json", pack("json", {}, [text])
    if codec in (None, "pickle"):
        stream, buffers = _pickle(value)
        return "pickle", pack("pickle", {}, [stream, *buffers])
    raise TypeError(f"codec {codec!r} cannot hold a {type(value).__name__}.")


def decode(codec: str, source: Source, *, unpickle: bool) -> Any:
    """The value in `source`, arrays as views on it.

    Raises Forbidden for a pickle unless `unpickle`, BadBlob for bytes that `codec` did not write, and
    whatever unpickling raises.
    """
    if codec == "pickle" and not unpickle:
        raise Forbidden("pickles are not read from a store that others can write")
    meta, places = unpack(codec, source)
    if codec == "ndarray" and len(places) == 1:
        return load_array(meta, source, places[0])
    if codec == "sparse":
        return load_sparse(meta, source, places, checked=not unpickle)
    view = memoryview(source)  # type: ignore[arg-type]
    parts = [view[start : start + size] for start, size in places]
    if codec == "json" and len(parts) == 1:
        try:
            return thaw(orjson.loads(parts[0]))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadBlob("no JSON of ours") from error
    if codec == "pickle" and parts:
        return _Unpickler(io.BytesIO(parts[0]), buffers=parts[1:]).load()
    raise BadBlob(f"unknown codec {codec!r}")


def _json(value: Any) -> bytes | None:
    if type(value) not in (type(None), bool, int, float, str, list, tuple, dict):
        return None
    if not _is_small(value):
        return None
    try:
        return orjson.dumps(freeze(value, exact=True))
    except (TypeError, ValueError, RecursionError):
        return None


def _is_small(value: Any) -> bool:
    """Whether at most 10,000 items hang together in `value`; ends early on cycles, too."""
    todo, seen = [value], 0
    while todo:
        item = todo.pop()
        seen += 1
        if type(item) in (list, tuple, dict):
            if seen + len(todo) + len(item) > MAX_JSON_ITEMS:
                return False
            todo.extend(item.values() if type(item) is dict else item)
    return True


def _pickle(value: Any) -> tuple[bytes, list[memoryview]]:
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            return True
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=5, buffer_callback=keep_inside).dump(value)
        data = stream.getvalue()
        # Classes of a script pickle by reference, but no other process can follow it.
        by_value = b"__main__" in data or b"__mp_main__" in data
    except Exception:
        by_value = True
    if by_value:
        import cloudpickle

        buffers.clear()
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_inside)
    return data, buffers


class _Unpickler(pickle.Unpickler):
    """Leaves alone a class of `__main__` that this process has already; cloudpickle would write over it, with
    functions whose globals are no longer the program's."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return partial(_fill_new_class, found) if name == "_class_setstate" else found


def _fill_new_class(fill: Callable[[Any, Any], Any], kind: type, state: tuple[dict[str, Any], Any]) -> type:
    return kind if state[0].keys() <= vars(kind).keys() else fill(kind, state)


class _Pickler(pickle.Pickler):
    """Writes large read-only arrays as if they were writable: a writable load then gives writable ones."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.flags.writeable or value.nbytes < OUT_OF_BAND:
            return NotImplemented
        if not is_plain_array(value) or not value.flags.forc:
            return NotImplemented
        order = "C" if value.flags.c_contiguous else "F"
        memory = (ctypes.c_ubyte * value.nbytes).from_address(value.ctypes.data)
        memory.owner = value  # type: ignore[attr-defined]  # keeps the bytes alive until they are written
        return _from_memory, (pickle.PickleBuffer(memory), value.dtype, value.shape, order)


def _from_memory(buffer: Any, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
    """The array whose bytes are `buffer`; named in stored pickles, so it keeps its name and place."""
    return np.ndarray(shape, dtype, buffer=buffer, order=order)
