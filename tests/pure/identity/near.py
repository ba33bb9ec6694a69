"""Groups of values that are nearly equal, drawn by hypothesis, and what tells them apart without our code.

A group is one value and what becomes of it by one small change: another type of the same number, one bit of
one cell, a boundary moved by one member, rows or columns swapped, one setting of an estimator. `exact` is the
oracle.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 300),
    st.integers(),
    st.floats(allow_nan=False, width=32),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.binary(max_size=4),
)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(0, 3)), inner, max_size=3),
        st.frozensets(LEAVES, max_size=3),
    ),
    max_leaves=8,
)
DTYPES = ["<f8", ">f8", "<f4", "<i8", "<i4", "<u4", "|i1", "|b1", "<M8[s]", "<M8[D]", "<c8", "<U2", "|S2"]
SIDES = st.integers(0, 4)
NO_NUMBER = {"cache_size", "verbose", "n_jobs", "memory"}
"""Settings of the estimators here that change no number: whatever they are, it is one question."""
DICE = st.randoms(use_true_random=False)


@st.composite
def _arrays(draw: Any) -> np.ndarray:
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(SIDES, max_size=3)))
    cells = int(np.prod(shape))
    if kind.kind in "US":
        texts = [draw(st.text("ab-", max_size=2)) for _ in range(cells)]
        return np.array(texts, dtype=kind).reshape(shape)
    raw = draw(st.binary(min_size=cells * kind.itemsize, max_size=cells * kind.itemsize))
    if kind.kind == "b":
        raw = bytes(byte & 1 for byte in raw)
    return np.frombuffer(raw, dtype=kind).reshape(shape).copy(order=draw(st.sampled_from("CF")))


@st.composite
def _frames(draw: Any) -> pd.DataFrame:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(st.one_of(st.text("ab", max_size=2), st.integers(0, 2)), max_size=3, unique=True))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(["i8", "f8", "bool", "text", "category"]))
        numbers = draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
        if kind in ("text", "category"):
            texts = ["ab-"[number] for number in numbers]
            columns[name] = (
                pd.Categorical(texts, list("ab-")) if kind == "category" else pd.Series(texts, dtype="str")
            )
        else:
            columns[name] = np.array(numbers, dtype=kind)
    return pd.DataFrame(columns, index=pd.RangeIndex(rows))


@st.composite
def _sparse(draw: Any) -> Any:
    dense = np.array(
        draw(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=1, max_size=3))
    )
    kind = draw(st.sampled_from([sp.csr_array, sp.csc_array, sp.csr_matrix]))
    return kind(dense.astype(draw(st.sampled_from(["f8", "f4", "i8"]))))


@st.composite
def _estimators(draw: Any) -> Any:
    clf = draw(st.sampled_from([SVC, SGDClassifier]))()
    names = sorted(name for name, value in clf.get_params().items() if type(value) in (int, float, bool, str))
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        clf.set_params(**{name: draw(LEAVES)})
    steps = [("scale", draw(st.sampled_from([StandardScaler, MinMaxScaler]))()), ("clf", clf)]
    if draw(st.booleans()):
        steps.insert(1, ("pca", PCA(n_components=draw(st.one_of(st.integers(0, 3), st.floats(0, 3))))))
    return draw(st.sampled_from([clf, Pipeline(steps)]))


# -- small changes -------------------------------------------------------------------------------------


def _other_scalars(value: Any) -> Iterator[Any]:
    """The same number or text as other types, and its neighbours."""
    yield from (None, [], (), {}, frozenset(), "", b"", [value], (value,))
    if isinstance(value, (bool, int, float)):
        yield from (str(value), value == 1)
        if abs(value) < 1e15:
            yield from (float(value), int(value), int(value) + 1)
        if isinstance(value, float):
            yield from (-value, np.nextafter(value, np.inf).item())
    if isinstance(value, str):
        yield from (value + "\0", value.encode("utf-8", "surrogatepass"), value.swapcase(), value[:-1])
    if isinstance(value, bytes):
        yield from (value + b"\0", value.decode("latin-1"), value[:-1])


def _other_plain(value: Any, dice: random.Random) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        kind, other = type(value), tuple if isinstance(value, list) else list
        yield from (other(value), kind([*value, None]), kind(value[:-1]), kind(reversed(value)))
        if len(value) > 1:
            cut = dice.randrange(1, len(value))
            yield from (kind([kind(value[:cut]), *value[cut:]]), kind([*value[:cut], kind(value[cut:])]))
        if value:
            place = dice.randrange(len(value))
            for changed in _other_plain(value[place], dice):
                yield kind([*value[:place], changed, *value[place + 1 :]])
    elif isinstance(value, dict):
        yield from (list(value.items()), dict(reversed(value.items())), {**value, "new": None})
        if value:
            key = dice.choice(list(value))
            yield from ({**value, key: changed} for changed in _other_plain(value[key], dice))
            yield {(str(k) if k == key else k): v for k, v in value.items()}
    elif isinstance(value, frozenset):
        yield from (value | {"new"}, set(value), tuple(value), frozenset(list(value)[1:]))
    else:
        yield from _other_scalars(value)


def _other_arrays(value: np.ndarray, dice: random.Random) -> Iterator[np.ndarray]:
    yield from (value.copy(), np.asfortranarray(value), value.T, value.ravel(), value[None], np.flip(value))
    yield from (
        value.astype(value.dtype.newbyteorder()),
        np.repeat(value, 2, axis=0) if value.ndim else value,
    )
    if value.size:
        raw = bytearray(value.tobytes())
        place = dice.randrange(len(raw))
        raw[place] ^= 1 if value.dtype.kind == "b" else 1 << dice.randrange(8)
        if value.dtype.kind not in "U":
            yield np.frombuffer(bytes(raw), dtype=value.dtype).reshape(value.shape)
        wide = value.dtype.itemsize
        for kind in ("<f8", "<i8", ">i8", "<M8[s]", "<M8[ms]", "<u4", "<f4", "|i1"):
            if np.dtype(kind).itemsize == wide and value.dtype.kind not in "b":
                yield np.frombuffer(value.tobytes(), dtype=kind).reshape(value.shape)


def _other_frames(value: pd.DataFrame, dice: random.Random) -> Iterator[pd.DataFrame]:
    yield from (value.copy(), value[list(reversed(value.columns))], value.iloc[::-1], value.iloc[:-1])
    yield from (
        value.reset_index(),
        value.set_axis(value.index + 1),
        value.set_axis([f"{n}" for n in value], axis=1),
    )
    yield value.set_axis(pd.Index(list(value.index), dtype="int64"))
    for name in value.columns[:1]:
        column = value[name]
        if column.dtype.kind in "ifb":
            yield from (
                value.assign(**{str(name): column}),
                value.astype({name: "f8"}),
                value.astype({name: "i4"}),
            )
            if len(value):
                changed = column.to_numpy(copy=True)
                place = dice.randrange(len(changed))
                changed[place] = not changed[place] if column.dtype.kind == "b" else changed[place] + 1
                yield value.assign(**{str(name): changed})
        elif isinstance(column.dtype, pd.CategoricalDtype):
            yield value.assign(**{str(name): column.cat.set_categories(list("-ba"))})
            yield value.assign(**{str(name): column.cat.as_ordered()})
            yield value.assign(**{str(name): column.astype("str")})


def _other_sparse(value: Any, dice: random.Random) -> Iterator[Any]:
    yield from (value.copy(), value.T, value.astype("f4"), value.tocsc(), value.tocsr(), value * 2)
    if value.nnz:
        changed = value.copy()
        changed.data[dice.randrange(value.nnz)] = 0  # an explicit zero stays
        yield changed


def _other_estimators(value: Any, dice: random.Random) -> Iterator[Any]:
    yield copy.deepcopy(value)
    settings = value.get_params(deep=True)
    name = dice.choice(sorted(n for n, v in settings.items() if not isinstance(v, (BaseEstimator, list))))
    for changed in _other_scalars(settings[name]):
        yield copy.deepcopy(value).set_params(**{name: changed})
    if isinstance(value, Pipeline):
        yield Pipeline([(f"{name}_", step) for name, step in value.steps])
        yield Pipeline(value.steps[1:])


KINDS: dict[str, tuple[Any, Callable[..., Iterator[Any]]]] = {
    "plain": (PLAIN, _other_plain),
    "arrays": (_arrays(), _other_arrays),
    "frames": (_frames(), _other_frames),
    "sparse": (_sparse(), _other_sparse),
    "estimators": (_estimators(), _other_estimators),
}
"""Kind -> (what is drawn, what is near to it)."""


def groups(kind: str) -> Any:
    """A strategy for lists of values that are near to one another."""
    drawn, others = KINDS[kind]
    return st.tuples(drawn, DICE).map(lambda pair: [pair[0], *others(*pair)])


# -- the oracle ----------------------------------------------------------------------------------------


def exact(value: Any) -> Any:
    """A comparable form that is equal exactly where the values are to have one digest."""
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(map(exact, value)))
    if isinstance(value, dict):
        return ("dict", tuple((exact(k), exact(v)) for k, v in value.items()))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, frozenset(map(exact, value)))
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes("C"))
    if isinstance(value, pd.DataFrame):
        columns = tuple(
            (exact(_plain(name)), _column(value.iloc[:, i])) for i, name in enumerate(value.columns)
        )
        return ("frame", columns, _index(value.index), str(value.columns.dtype))
    if sp.issparse(value):
        parts = tuple((part.dtype.str, part.tobytes()) for part in (value.indptr, value.indices, value.data))
        return (type(value).__name__, value.shape, parts)
    if isinstance(value, BaseEstimator):
        settings = value.get_params(deep=False)
        return (
            type(value).__qualname__,
            tuple((name, exact(settings[name])) for name in sorted({*settings} - NO_NUMBER)),
        )
    return (type(value).__name__, value)


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _column(column: pd.Series) -> Any:
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return ("category", tuple(kind.categories), kind.ordered, column.cat.codes.to_numpy().tobytes())
    if column.dtype.kind in "ifb":
        return (str(kind), column.to_numpy().tobytes())
    return (str(kind), tuple(column))


def _index(index: pd.Index) -> Any:
    if isinstance(index, pd.RangeIndex):
        return ("range", index.start, index.stop, index.step, index.name)
    return (str(index.dtype), tuple(index.tolist()), index.name)
