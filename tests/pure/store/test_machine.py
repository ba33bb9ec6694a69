"""Any sequence of puts, lookups, crashes, damage and clearing, by two actors, against a dict."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store import MissingBlob, Record, StepStore
from prefect_tune.store.faults import FailNth, Killed

SCOPE = "ab12"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would only make it slow
ACTORS = st.integers(0, 1)
KEYS = st.integers(0, 3).map(lambda i: f"{i:064x}")
PACKED = st.integers(8, 12).map(lambda i: f"{i:064x}")


class StoreMachine(RuleBasedStateMachine):
    """Manifests and packs have keys of their own, as in use.

    `ever`: values ever offered under a key. `sure`: the one that must be found. `harmed`: keys whose entries
    may be damaged, so that nothing is sure until all are cleared.
    """

    @initialize()
    def open(self) -> None:
        self.root = Path(tempfile.mkdtemp(dir=MEMORY)) / "store"
        self.actors = [StepStore.open(self.root), StepStore.open(self.root)]
        self.ever: dict[str, set[int]] = {}
        self.sure: dict[str, int] = {}
        self.harmed: set[str] = set()
        self.clock = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root.parent)

    def next_record(self, key: str) -> tuple[Record, dict[str, object]]:
        self.clock += 1
        self.ever.setdefault(key, set()).add(self.clock)
        record = Record(key=key, kind="t", created=float(self.clock), values={"value": self.clock})
        return record, {"X": np.full(10_000, self.clock)}

    @rule(actor=ACTORS, key=KEYS)
    def put(self, actor: int, key: str) -> None:
        record, outputs = self.next_record(key)
        stored = self.actors[actor].put(record, outputs, SCOPE)
        assert stored.outputs
        self.trust(key, stored.values["value"])
        assert stored.values["value"] in self.ever[key]

    @rule(actor=ACTORS, keys=st.lists(PACKED, min_size=1, unique=True))
    def put_pack(self, actor: int, keys: list[str]) -> None:
        records = [self.next_record(key)[0] for key in keys]
        assert self.actors[actor].put_pack(records, SCOPE)
        for record in records:
            self.trust(record.key, record.values["value"])

    def trust(self, key: str, value: int) -> None:
        if key not in self.harmed:
            self.sure.setdefault(key, value)

    @rule(actor=ACTORS, keys=st.lists(KEYS | PACKED, min_size=1, max_size=5))
    def look(self, actor: int, keys: list[str]) -> None:
        found = self.actors[actor].lookup(keys, SCOPE)
        for key in keys:
            if key in self.sure:
                assert found[key].values == {"value": self.sure[key]}
            if key in found:
                assert found[key].values["value"] in self.ever[key]
                self.load(actor, found[key])

    def load(self, actor: int, record: Record) -> None:
        if not record.outputs:
            return
        try:
            array = self.actors[actor].load(record, "X")
        except MissingBlob:
            assert record.key not in self.sure
        else:
            assert (array == record.values["value"]).all()

    @rule(key=KEYS, n=st.integers(1, 40), how=st.sampled_from(["kill", "torn", "EIO", "ENOSPC", "after"]))
    def crash(self, key: str, n: int, how: str) -> None:
        """A third process fails at its n-th call."""
        record, outputs = self.next_record(key)
        with contextlib.suppress(Killed, StoreUnavailable):
            StepStore.open(self.root, fs=FailNth(None, n, how)).put(record, outputs, SCOPE)

    @rule(place=st.integers(0, 1 << 20), area=st.sampled_from(["ac", "cas", "packs"]), data=st.data())
    def damage(self, place: int, area: str, data: st.DataObject) -> None:
        """A bit of some entry flips; time stamps move on, as they do when a file is written."""
        paths = sorted(path for path in (self.root / area).rglob("*") if path.is_file())
        if not paths:
            return
        path = data.draw(st.sampled_from(paths))
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1
        path.unlink()
        path.write_bytes(bytes(content))
        self.actors = [StepStore.open(self.root), StepStore.open(self.root)]
        self.sure.clear()
        self.harmed.update(self.ever)

    @rule(actor=ACTORS)
    def reopen(self, actor: int) -> None:
        self.actors[actor] = StepStore.open(self.root)

    @rule(actor=ACTORS)
    def clear(self, actor: int) -> None:
        self.actors[actor].clear()
        self.sure.clear()
        self.harmed.clear()
        self.actors = [StepStore.open(self.root), StepStore.open(self.root)]

    @invariant()
    def quiet(self) -> None:
        """No counter says more than what was done."""
        assert all(actor.writable for actor in getattr(self, "actors", []))


StoreMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=25, deadline=None)


@pytest.mark.filterwarnings("ignore::prefect_tune.store.signals.StoreWarning")
class TestStore(StoreMachine.TestCase):
    """Runs the machine; warnings about the damage done on purpose are expected."""

    def runTest(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().runTest()
