"""Nothing from a folder that others can write in is ever unpickled."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store import MissingBlob, StepStore

from .conftest import SCOPE, Gadget


def share(root, mode):
    root.chmod(mode)
    return StepStore.open(root)


def test_the_gadget_works(store, record, mark):
    """In a private store the test's gadget does fire: the tests below can fail."""
    wrote = store.put(record("a"), {"m": Gadget(mark)}, SCOPE)
    store.load(wrote, "m")
    assert mark.exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720])
def test_planted_pickles_are_misses_in_a_shared_store(store, root, record, mark, mode):
    """Lookup does not find them, load refuses them, storing does not adopt them; the file stays."""
    wrote = store.put(record("a"), {"m": Gadget(mark), "X": np.zeros(2)}, SCOPE)
    shared = share(root, mode)
    assert shared.trust == "data-only"
    assert str(root) in shared.trust_reason
    assert shared.get(wrote.key, SCOPE) is None
    with pytest.raises(MissingBlob, match="pickle"):
        shared.load(wrote, "m")
    assert shared.put(record("a"), {"m": [1]}, SCOPE).outputs == ()
    ref = wrote.outputs[0]
    with pytest.raises(MissingBlob):
        shared.load_blob(ref)
    assert shared.counters.uncached["pickle in a data-only store"] >= 3
    assert not mark.exists()


@pytest.mark.parametrize("codec", ["json", "ndarray", "sparse", "PICKLE", ""])
def test_a_pickle_cannot_pose_as_data(store, root, record, mark, codec):
    """A record that calls a pickle something else is refused by the blob's own header."""
    import dataclasses

    from prefect_tune.store.actions import seal

    wrote = store.put(record("a"), {"m": Gadget(mark)}, SCOPE)
    forged = dataclasses.replace(wrote, outputs=(dataclasses.replace(wrote.outputs[0], codec=codec),))
    path = root / "ac" / wrote.key[:2] / wrote.key
    path.chmod(0o644)
    path.write_bytes(seal(forged.to_json()))
    shared = share(root, 0o777)
    found = shared.get(wrote.key, SCOPE)
    assert found.outputs[0].codec == codec
    with pytest.raises(MissingBlob, match="cannot be decoded"):
        shared.load(found, "m")
    assert not mark.exists()


def test_an_area_that_others_can_write_in_is_enough(store, root):
    """A private root with an open folder of manifests is no private store."""
    (root / "ac").chmod(0o777)
    assert StepStore.open(root).trust == "data-only"


def test_a_foreign_store_is_data_only(store, root, monkeypatch):
    """Somebody else's folder is not trusted, whatever its mode."""
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert StepStore.open(root).trust == "data-only"


def test_readable_by_others_is_still_private(store, root):
    """Trust is about writing."""
    assert share(root, 0o755).trust == "local"


def test_trust_can_be_lowered_but_not_claimed(store, root):
    """`data-only` may be asked for; `local` needs a private folder."""
    assert StepStore.open(root, trust="data-only").trust == "data-only"
    assert pickle.loads(pickle.dumps(StepStore.open(root, trust="data-only"))).trust == "data-only"
    assert StepStore.open(root, trust="local").trust == "local"
    root.chmod(0o777)
    with pytest.raises(StoreUnavailable, match="others can write"):
        StepStore.open(root, trust="local")


def test_data_is_shared_without_trust(store, root, record):
    """Arrays, sparse matrices and JSON work; pickles are neither written nor read, and that is counted."""
    shared = share(root, 0o770)
    matrix = sp.random(20, 10, 0.2, format="csr", random_state=0)
    wrote = shared.put(record("a"), {"X": np.arange(3), "S": matrix, "j": {"a": [1.5]}}, SCOPE)
    found = StepStore.open(root).get(wrote.key, SCOPE)
    assert found == wrote
    assert shared.load(found, "X").tolist() == [0, 1, 2]
    assert (shared.load(found, "S") != matrix).nnz == 0
    assert shared.load(found, "j") == {"a": [1.5]}
    assert shared.put(record("b"), {"m": {1: 2}}, SCOPE).outputs == ()
    assert shared.counters.uncached == {"pickle in a data-only store": 1}


def test_a_shared_store_stays_shared(root, record):
    """New folders get the root's mode, so that others can go on writing."""
    root.mkdir()
    root.chmod(0o770)
    store = StepStore.open(root)
    wrote = store.put(record("a"), {"X": 1}, SCOPE)
    for folder in (root / "ac", root / "ac" / wrote.key[:2], root / "tmp", root / "cas" / "b3-256"):
        assert folder.stat().st_mode & 0o7777 == 0o770
