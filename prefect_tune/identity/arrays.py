"""Digests of numpy arrays and of long flat lists, with the canonical object to go on with.

Rule 1: every byte is hashed. Sampling is forbidden, and so is trusting a file name, an owner or a flag.
Rule 2: dtype, shape and layout are in the digest. As *data* an array is brought to C order first, so
copies in either order are one; as a *parameter* it keeps its layout, for layout changes result bits.
Rule 3: NaN payloads and -0.0 in data keep their bytes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from blake3 import blake3

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.encode import (
    content_ref,
    digest_frames,
    encode,
    frame,
    plain,
    text_bytes,
)

THREADED_BYTES = 1 << 20  # below this, waking threads costs more than it saves
MAX_MIXED = 1_000_000  # mixed object elements are encoded one by one, about 1 µs each
_REGISTERED = (np.ndarray, np.memmap)
_PYTHON = {bool, int, float, str, bytes, type(None)}
_KINDS = {str: 0, bytes: 1, type(None): 2, float: 3}


def hasher(nbytes: int) -> Any:
    """A BLAKE3 hasher that uses every core if the parts it gets are this large."""
    return blake3(max_threads=blake3.AUTO if nbytes >= THREADED_BYTES else 1)


def raw_digest(buffer: Any, nbytes: int) -> bytes:
    """32 bytes: BLAKE3 of a contiguous buffer, without a copy."""
    return blake3(buffer, max_threads=blake3.AUTO if nbytes >= THREADED_BYTES else 1).digest()


def flat_bytes(array: np.ndarray) -> memoryview:
    """The memory of a C-contiguous array without objects, as bytes."""
    if array.nbytes == 0:
        return memoryview(b"")
    # Through u1, since datetime64 and structured arrays have no buffer of their own.
    return array.reshape(-1).view(np.uint8).data


def array_ref(array: np.ndarray) -> bytes:
    """The frame that stands for the bytes of an array in C order; its dtype is not in it."""
    array = np.ascontiguousarray(array)
    return content_ref(raw_digest(flat_bytes(array), array.nbytes))


def dtype_frame(dtype: np.dtype, path: str = "") -> bytes:
    """The frame of a dtype: its `str`, or every field with offset; byte order is part of it."""
    if dtype.kind == "T":
        raise Uncacheable(path, "numpy StringDType has no encoding yet; use object or fixed width")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return frame("subdtype", dtype_frame(base, path) + encode(shape))
    if dtype.names is None:
        return frame("dtype", dtype.str.encode("ascii"))
    parts = [encode(dtype.itemsize)]
    for name in dtype.names:
        field = dtype[name]
        parts += [encode(name), encode(_offset(dtype, name)), dtype_frame(field, path)]
    return frame("fields", b"".join(parts))


def _offset(dtype: np.dtype, name: str) -> int:
    return dtype.fields[name][1] if dtype.fields is not None else 0


def _without_padding(array: np.ndarray) -> np.ndarray:
    """The array with zeros between its fields, where a copy may hold junk."""
    dtype = array.dtype
    if dtype.names is None or dtype.itemsize == sum(dtype[name].itemsize for name in dtype.names):
        return array
    clean = np.zeros(array.shape, dtype)
    for name in dtype.names:
        clean[name] = array[name]
    return clean


def _check(array: np.ndarray, path: str) -> None:
    if type(array) not in _REGISTERED:
        raise Uncacheable(path, f"{type(array).__qualname__}, a subclass of ndarray, has no encoding")
    if array.dtype.hasobject and array.dtype.kind != "O":
        raise Uncacheable(path, "a structured array with object fields has no stable bytes")


def _digest(array: np.ndarray, layout: str, memory: np.ndarray, path: str) -> bytes:
    """The digest of an array whose bytes are those of the C-contiguous `memory`."""
    return digest_frames(
        "ndarray/v1",
        dtype_frame(array.dtype, path),
        encode(array.shape),
        encode(layout),
        array_ref(memory),
    )


def fingerprint(array: np.ndarray, path: str = "") -> tuple[bytes, np.ndarray]:
    """The digest of an array as data, and the same array in C order.

    The array itself comes back if it is in C order already; a memmap comes back as a plain view of it.
    """
    _check(array, path)
    canonical = array
    if not array.flags.c_contiguous or type(array) is not np.ndarray:
        canonical = np.ascontiguousarray(array).reshape(array.shape)
    if canonical.dtype.kind == "O":
        return _fingerprint_objects(canonical, path)
    canonical = _without_padding(canonical)
    return _digest(canonical, "C", canonical, path), canonical


def parameter_digest(array: np.ndarray, path: str = "") -> bytes:
    """The digest of an array as a parameter value: the layout that a copy of it would have counts.

    `clone` copies parameters in K order, so a strided view equals the contiguous copy it would become.
    """
    _check(array, path)
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        array = np.array(array, order="K", copy=True)
    if array.flags.c_contiguous:
        return fingerprint(array, path)[0]
    if array.dtype.kind == "O":
        raise Uncacheable(path, "an object array that is not in C order")
    array = np.asarray(array)
    if array.flags.f_contiguous:
        return _digest(array, "F", _without_padding(array.T), path)
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    memory = np.ascontiguousarray(array.transpose(order))
    return _digest(array, "axes:" + ",".join(map(str, order)), memory, path)


def _fingerprint_objects(array: np.ndarray, path: str) -> tuple[bytes, np.ndarray]:
    """The digest of an object array, and the array with Python values in place of numpy scalars."""
    items = array.reshape(-1).tolist()
    body, clean = items_frame(items, path)
    if clean is not items:
        flat = np.empty(len(clean), dtype=object)
        flat[:] = clean
        array = flat.reshape(array.shape)
    return digest_frames("objects/v1", encode(array.shape), body), array


def _is_flat(items: list, kinds: set[type]) -> bool:
    """Whether all are str, bytes, None or NaN."""
    if not kinds <= _KINDS.keys():
        return False
    return float not in kinds or all(math.isnan(item) for item in items if type(item) is float)


def items_frame(items: list, path: str = "") -> tuple[bytes, list]:
    """One frame for a flat list of Python objects, and the list with Python values only.

    Text, bytes, None and NaN go by their joined bytes, a kind code and a length per element: the joined
    bytes alone would merge ['a-b', 'c'] with ['a', 'b-c'], validity bits alone None with NaN.
    """
    kinds = set(map(type, items))
    if _is_flat(items, kinds):
        return _flat_frame(items, kinds), items
    if len(items) > MAX_MIXED:
        raise Uncacheable(path, f"more than {MAX_MIXED} Python objects of mixed types")
    clean = [plain(item) for item in items]
    total = blake3()
    for i, item in enumerate(clean):
        total.update(encode(item, f"{path}[{i}]"))
    changed = any(a is not b for a, b in zip(clean, items, strict=True))
    body = frame("mixed", encode(len(items)) + content_ref(total.digest()))
    return body, clean if changed else items


def _flat_frame(items: list, kinds: set[type]) -> bytes:
    count = len(items)
    if kinds <= {str}:
        codes, texts, blobs = np.zeros(count, np.uint8), items, []
    else:
        codes = np.fromiter((_KINDS[type(item)] for item in items), np.uint8, count)
        texts = [item for item in items if type(item) is str]
        blobs = [item for item in items if type(item) is bytes]
    # Lengths in characters split the decoded text just as uniquely as byte offsets split its bytes.
    parts = [codes]
    for part in (texts, blobs):
        parts.append(np.fromiter(map(len, part), np.int64, len(part)))
    body = encode(count) + b"".join(map(array_ref, parts))
    for joined in (text_bytes("".join(texts)), b"".join(blobs)):
        body += content_ref(raw_digest(joined, len(joined)))
    return frame("flat", body)


def fingerprint_sequence(value: list | tuple, path: str = "") -> tuple[bytes, list | tuple]:
    """The digest of a list or tuple of data, and the same with Python values in place of numpy scalars."""
    kind = type(value)
    kinds = set(map(type, value))
    if not kinds <= _PYTHON:
        value = plain(value)
        kinds = set(map(type, value))
    packed = None
    if kinds == {float}:
        packed = np.array(value, dtype=np.float64)
    elif kinds == {int} and min(value) >= -(2**63) and max(value) < 2**63:
        packed = np.array(value, dtype=np.int64)
    if packed is not None:
        body = frame("packed", dtype_frame(packed.dtype) + encode(len(value)))
        body += array_ref(packed)
    else:
        body = items_frame(list(value), path)[0]
    return digest_frames(f"{kind.__name__}/v1", body), value
