"""What a search draws: the folds, packed into one array and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.draws import pack_splits, unpack_splits

INDEX = st.lists(st.integers(0, 2**40), max_size=6).map(np.array)


@given(st.lists(st.tuples(INDEX, INDEX), max_size=5))
def test_folds_come_back_as_they_were(splits):
    """Any number of folds, of any length, also empty ones; as whole numbers whatever they were."""
    packed = pack_splits(splits)
    assert packed.dtype == np.int64
    assert packed.ndim == 1
    found = unpack_splits(packed)
    assert [[side.tolist() for side in pair] for pair in found] == [
        [side.tolist() for side in pair] for pair in splits
    ]
