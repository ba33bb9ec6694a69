"""Arrays and sparse matrices as segments of a blob: dtype, shape and layout come back exactly.

Rule 1: an array is stored as it lies in memory (C, F, or any order of the axes; gaps are closed), so that
results computed from the stored form do not depend on who computed it.
Rule 2: only plain dtypes come this way. What a description cannot give back exactly (objects, metadata,
foreign dtypes, subclasses of ndarray) is left to pickle.
Rule 3: a blob from a store that others can write may not lead outside its own memory: `checked`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from prefect_tune.store.container import BadBlob, Source

_COMPRESSED = ("data", "indices", "indptr")
SPARSE_PARTS = {
    "csr": _COMPRESSED,
    "csc": _COMPRESSED,
    "bsr": _COMPRESSED,
    "coo": ("data",),
    "dia": ("data", "offsets"),
}
SPARSE_CLASSES = {f"{form}_{kind}": form for form in SPARSE_PARTS for kind in ("matrix", "array")}
_FLAGS = ("_has_sorted_indices", "_has_canonical_format", "has_canonical_format")


def describe_dtype(dtype: np.dtype) -> Any:
    """The dtype as JSON; `build_dtype` reads it."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [describe_dtype(base), list(shape)]
    if dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    return {
        "names": list(dtype.names),
        "formats": [describe_dtype(entry[0]) for entry in fields],
        "offsets": [int(entry[1]) for entry in fields],
        "titles": [(*entry, None)[2] for entry in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def build_dtype(spec: Any) -> np.dtype:
    """The dtype that was described; BadBlob for anything that holds objects or is no dtype."""
    try:
        dtype = _build_dtype(spec)
    except (TypeError, ValueError, KeyError, SyntaxError) as error:
        raise BadBlob("no dtype") from error
    if dtype.hasobject:
        raise BadBlob("an object dtype")
    return dtype


def _build_dtype(spec: Any) -> np.dtype:
    if isinstance(spec, str):
        return np.dtype(spec)
    if isinstance(spec, list):
        return np.dtype((build_dtype(spec[0]), tuple(spec[1])))
    parts: Any = {name: spec[name] for name in ("names", "offsets", "itemsize")}
    parts["formats"] = [build_dtype(entry) for entry in spec["formats"]]
    if any(title is not None for title in spec["titles"]):
        parts["titles"] = spec["titles"]
    return np.dtype(parts, align=bool(spec["aligned"]))


def is_plain(dtype: np.dtype) -> bool:
    """Whether a description gives this dtype back exactly."""
    if dtype.hasobject or dtype.itemsize == 0 or _has_metadata(dtype):
        return False
    try:
        twin = build_dtype(describe_dtype(dtype))
    except (BadBlob, TypeError):
        return False
    return twin == dtype and twin.type is dtype.type and repr(twin) == repr(dtype)


def _has_metadata(dtype: np.dtype) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return _has_metadata(dtype.subdtype[0])
    return any(_has_metadata(entry[0]) for entry in (dtype.fields or {}).values())


def is_plain_array(value: Any) -> bool:
    """Whether `value` is an array that needs no pickle; a memmap counts as the array it shows."""
    return type(value) in (np.ndarray, np.memmap) and is_plain(value.dtype)


def dump_array(array: np.ndarray) -> tuple[dict, memoryview]:
    """Description and bytes; the bytes are those of the array itself unless it has gaps."""
    array = np.asarray(array)
    axes = list(range(array.ndim))
    if not array.flags.c_contiguous:
        axes.sort(key=lambda axis: -abs(array.strides[axis]))
        array = array.transpose(axes)
        if not array.flags.c_contiguous:
            array = array.copy(order="C")
    meta = {"dtype": describe_dtype(array.dtype), "shape": list(array.shape), "axes": axes}
    return meta, memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def load_array(meta: dict, source: Source, place: tuple[int, int]) -> np.ndarray:
    """The array as a view on `source`; read-only if `source` is."""
    offset, size = place
    try:
        dtype, shape, axes = build_dtype(meta["dtype"]), meta["shape"], meta["axes"]
        fits = all(type(n) is int and n >= 0 for n in shape) and sorted(axes) == list(range(len(shape)))
    except (KeyError, TypeError) as error:
        raise BadBlob("no array") from error
    if not fits or len(shape) > 64 or math.prod(shape) * dtype.itemsize != size:
        raise BadBlob("shape and size do not fit")
    stored: np.ndarray = np.ndarray(tuple(shape), dtype, buffer=source, offset=offset)
    if axes == sorted(axes):
        return stored
    return stored.transpose(np.argsort(axes))


def sparse_class(value: Any) -> str | None:
    """Name of the sparse class, if it is exactly one that can be stored in parts."""
    kind = type(value)
    if kind.__name__ not in SPARSE_CLASSES or not kind.__module__.startswith("scipy.sparse"):
        return None
    return kind.__name__ if all(is_plain_array(part) for _, part in _parts(value)) else None


def _parts(value: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in SPARSE_PARTS[SPARSE_CLASSES[type(value).__name__]]:
        yield name, getattr(value, name)
    if value.format == "coo":
        yield from ((f"coords{i}", part) for i, part in enumerate(value.coords))


def dump_sparse(value: Any) -> tuple[dict, list[memoryview]]:
    """Description and parts; order of indices and what is known about it are kept."""
    names, dumped = [], []
    for name, part in _parts(value):
        names.append(name)
        dumped.append(dump_array(part))
    meta = {
        "class": type(value).__name__,
        "shape": [int(n) for n in value.shape],
        "parts": dict(zip(names, (meta for meta, _ in dumped), strict=True)),
        "flags": {name: bool(vars(value)[name]) for name in _FLAGS if name in vars(value)},
    }
    return meta, [data for _, data in dumped]


def load_sparse(meta: dict, source: Source, places: list[tuple[int, int]], *, checked: bool) -> Any:
    """The matrix or array; its parts are views on `source`."""
    import scipy.sparse

    try:
        form, shape = SPARSE_CLASSES[meta["class"]], tuple(meta["shape"])
        parts = {
            name: load_array(part, source, place)
            for (name, part), place in zip(meta["parts"].items(), places, strict=True)
        }
        coords = tuple(parts.pop(f"coords{i}") for i in range(len(shape))) if form == "coo" else ()
        if parts.keys() != set(SPARSE_PARTS[form]) or not all(type(n) is int and n >= 0 for n in shape):
            raise BadBlob("parts are missing")
        if checked:
            _check(form, shape, parts, coords)
        more = {"blocksize": parts["data"].shape[1:]} if form == "bsr" else {}
        # The constructors that take parts may narrow the index dtype: fill an empty one instead.
        out = getattr(scipy.sparse, meta["class"])(shape, **more)
        for name, part in parts.items():
            setattr(out, name, part)
        if form == "coo":
            out.coords = coords
        vars(out).update({name: bool(flag) for name, flag in meta["flags"].items() if name in _FLAGS})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBlob(f"no sparse matrix: {error}") from error
    return out


def _check(form: str, shape: tuple, parts: dict[str, np.ndarray], coords: tuple) -> None:
    """BadBlob unless every index stays inside: SciPy's loops read without looking."""
    data = parts["data"]
    if form == "coo":
        good = all(_within(index, len(data), bound) for index, bound in zip(coords, shape, strict=True))
    elif form == "dia":
        good = data.ndim == 2 and parts["offsets"].ndim == 1 and len(parts["offsets"]) == len(data)
    else:
        indices, indptr = parts["indices"], parts["indptr"]
        rows, columns = (1, shape[0]) if len(shape) == 1 else shape
        if form == "csc":
            rows, columns = columns, rows
        if form == "bsr":
            rows, columns = rows // max(data.shape[1], 1), columns // max(data.shape[2], 1)
        good = (
            _within(indices, len(data), columns)
            and _within(indptr, rows + 1, len(indices) + 1)
            and indptr[0] == 0
            and bool((indptr[1:] >= indptr[:-1]).all())
            and indices.dtype == indptr.dtype
        )
    if not good:
        raise BadBlob("indices lead outside the matrix")


def _within(index: np.ndarray, length: int, bound: int) -> bool:
    if index.ndim != 1 or len(index) != length or index.dtype not in (np.int32, np.int64):
        return False
    return length == 0 or bool(index.min() >= 0 and index.max() < bound)
