"""What the columns of rows are, told from little; which rows what was trained on others can be scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from prefect_tune.chunks import open_chunks
from prefect_tune.chunks.features import Features, check_alike, described, features_of
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore

NUMBERS, TEXT, TIMES = "numbers", "text", "times"
FRAME = pd.DataFrame(
    {
        "whole": [1, 2],
        "part": [0.5, None],
        "yes": [True, False],
        "word": ["a", "b"],
        "level": pd.Categorical(["low", "high"]),
        "grade": pd.Categorical([1, 2]),
        "day": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        "mixed": np.array([None, 3.0], dtype=object),
        "blank": np.array([None, None], dtype=object),
    }
)
KINDS = (NUMBERS, NUMBERS, NUMBERS, TEXT, TEXT, NUMBERS, TIMES, NUMBERS, "")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.zeros((2, 3)), Features(shape=(3,), kinds=(NUMBERS,))),
        (np.zeros((2, 3), dtype=bool), Features(shape=(3,), kinds=(NUMBERS,))),
        (np.zeros((2, 4, 5)), Features(shape=(4, 5), kinds=(NUMBERS,))),
        (np.array(["a", "b"]), Features(shape=(), kinds=(TEXT,))),
        (np.array([["a", 1], ["b", 2]], dtype=object), Features(shape=(2,), kinds=(TEXT, NUMBERS))),
        (np.array([[np.nan], ["b"]], dtype=object), Features(shape=(1,), kinds=(TEXT,))),
        (np.array([[1, 2], [3]], dtype=object), Features(shape=(), kinds=("",))),
        (sparse.csr_matrix(np.zeros((2, 7))), Features(shape=(7,), kinds=(NUMBERS,))),
        (FRAME, Features(names=tuple(FRAME), shape=(9,), kinds=KINDS)),
        (pd.DataFrame(np.zeros((2, 2))), Features(shape=(2,), kinds=(NUMBERS, NUMBERS))),
        (FRAME["word"], Features(shape=(), kinds=(TEXT,))),
        (FRAME["level"], Features(shape=(), kinds=(TEXT,))),
        (FRAME["mixed"], Features(shape=(), kinds=(NUMBERS,))),
        (["a text", "another"], Features(shape=(), kinds=(TEXT,))),
        ([[1, "a"], [2, "b"]], Features(shape=(2,), kinds=(NUMBERS, TEXT))),
        ([[1, 2], [3]], Features()),
        ([{"a": 1}, {"b": 2}], Features(shape=(), kinds=("",))),
        (da.zeros((6, 3), chunks=2), Features(shape=(3,), kinds=(NUMBERS,))),
        (da.zeros(6, chunks=2), Features(shape=(), kinds=(NUMBERS,))),
        (
            dd.from_pandas(FRAME[["whole", "word", "level"]], npartitions=1),
            Features(names=("whole", "word", "level"), shape=(3,), kinds=(NUMBERS, TEXT, "")),
        ),
        (None, Features()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_features(value: Any, found: Features) -> None:
    """Names, shape of a row and kinds of whatever can be data; what cannot be told is left open."""
    assert features_of(value) == found


@pytest.mark.parametrize("chunk_size", [None, 1])
def test_stored_rows_say_what_they_were(chunk_size: int | None, tmp_path: Path) -> None:
    """Rows in the store are described like the rows that went in."""
    store = StepStore.open(tmp_path)
    for X in (np.zeros((2, 3)), FRAME, sparse.csr_matrix(np.eye(2)), ["a", "b"]):
        data = open_chunks(X, [1, 2], store=store, chunk_size=chunk_size)
        first = X if chunk_size is None else X[:1]
        assert described(data, store) == (features_of(first), Features(shape=(), kinds=(NUMBERS,)))


def test_files_say_it_in_their_footer(tmp_path: Path) -> None:
    """Columns of Parquet have the names and kinds of the frame that was written; the target is apart."""
    frame = FRAME.drop(columns=["blank"])
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    store = StepStore.open(tmp_path / "s")
    X, y = described(open_chunks(str(tmp_path / "a.parquet"), "word", store=store), store)
    assert features_of(frame.drop(columns=["word"])) == X
    assert y == Features(shape=(), kinds=(TEXT,))
    assert described(open_chunks(str(tmp_path / "a.parquet"), store=store), store)[1] is None


THREE = pd.DataFrame(np.zeros((2, 3)), columns=["age", "income", "region"])
NUMERIC, WORDS = np.zeros(2), np.array(["a", "b"])


@pytest.mark.parametrize(
    ("train", "other", "words"),
    [
        (np.zeros((2, 3)), np.zeros((5, 4)), ["4 columns", "3 columns"]),
        (np.zeros((2, 3)), np.zeros(5), ["single values", "3 columns"]),
        (np.zeros((2, 3)), THREE[["age"]], ["1 column,", "3 columns"]),
        (np.zeros((2, 4, 4)), np.zeros((2, 5, 5)), ["(5, 5)", "(4, 4)"]),
        (THREE, THREE[["age", "income"]], ["no column 'region'", "age, income"]),
        (THREE, THREE.rename(columns={"income": "incme"}), ["no column 'income'", "Did you mean 'incme'?"]),
        (THREE, THREE.assign(more=1), ["column 'more'", "Leave it out"]),
        (THREE, THREE[["income", "age", "region"]], ["another order", "as in X: age, income, region"]),
        (THREE, THREE.assign(region="north"), ["column 'region' holds text", "numbers"]),
        (THREE.assign(region="north"), THREE, ["column 'region' holds numbers", "text"]),
        (np.zeros((2, 2)), [[1, "a"], [2, "b"]], ["column 1 holds text", "numbers"]),
        (np.zeros((2, 2)), np.array([["a", "b"]]), ["X holds text", "numbers"]),
    ],
)
def test_unlike_rows(train: Any, other: Any, words: list[str]) -> None:
    """Rows that no estimator trained on the others takes are refused; the error says what differs where."""
    target = features_of(NUMERIC)
    with pytest.raises(DataError, match=r"^validation: ") as caught:
        check_alike((features_of(train), target), (features_of(other), target), "validation")
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    ("train", "other"),
    [
        (np.zeros((2, 3)), np.zeros((5, 3), dtype=np.int8)),
        (np.zeros((2, 3)), sparse.csr_matrix(np.zeros((4, 3)))),
        (np.zeros((2, 3)), THREE),
        (THREE, np.zeros((5, 3))),
        (THREE, THREE.astype(object)),
        (THREE, THREE.astype("Int64")),
        (THREE, THREE.assign(region=None)),
        (["a text"], pd.Series(["another"])),
        ([[1, 2], [3]], [[4, 5]]),
        (FRAME, FRAME.iloc[::-1]),
    ],
)
def test_like_rows(train: Any, other: Any) -> None:
    """Other widths of numbers, other containers and what cannot be told are no difference."""
    check_alike((features_of(train), None), (features_of(other), features_of(WORDS)), "validation")


def test_targets() -> None:
    """A target that is missing or of another kind is refused; one that nobody trains on is not."""
    X = features_of(THREE)
    with pytest.raises(DataError, match="validation: has no target"):
        check_alike((X, features_of(NUMERIC)), (X, None), "validation")
    with pytest.raises(DataError, match="validation: y holds text, but numbers"):
        check_alike((X, features_of(NUMERIC)), (X, features_of(WORDS)), "validation")
    check_alike((X, None), (X, features_of(WORDS)), "validation")
