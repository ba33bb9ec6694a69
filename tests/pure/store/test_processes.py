"""Several processes, one store; some of them are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from prefect_tune.store import MissingBlob, StepStore

SCOPE = "ab12"

WRITER = """
import json, os, sys, time
import numpy as np
from prefect_tune.store import MissingBlob, Record, StepStore
root, me, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = StepStore.open(root)
open(f"{root}/../ready{me}", "w").close()
while not os.path.exists(f"{root}/../go"):
    time.sleep(0.0005)
seen = {}
for i in range(count):
    array = np.full(3000, float(me))
    record = store.put(Record(key=f"{i:064x}", kind="t", values={"by": me}), {"X": array}, "ab12")
    try:
        seen[i] = [record.values["by"], float(store.load(record, "X").mean())]
    except MissingBlob:
        seen[i] = None
    store.put_pack([Record(key=f"{me + 1}{i:063x}", kind="score", values={"s": i / 7})], "ab12")
print(json.dumps(seen))
"""


def start(root, count) -> list[subprocess.Popen]:
    """Two writers that begin at the same moment."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(me), str(count)], stdout=subprocess.PIPE, text=True
        )
        for me in (0, 1)
    ]
    deadline = time.monotonic() + 60
    while not all((root.parent / f"ready{me}").exists() for me in (0, 1)):
        assert time.monotonic() < deadline
        assert all(writer.poll() is None for writer in writers)
        time.sleep(0.001)
    (root.parent / "go").touch()
    return writers


def finish(writers) -> list[dict]:
    outputs = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    return [json.loads(output) for output in outputs]


def test_two_writers_agree_on_every_key(root):
    """Both go on with the same bits, record and array from one hand, and all of it verifies."""
    count = 150
    one, two = finish(start(root, count))
    assert one == two
    assert all(by == mean for by, mean in one.values())
    store = StepStore.open(root)
    assert store.verify() == []
    assert len(store.lookup([f"{i:064x}" for i in range(count)], SCOPE)) == count
    scores = [f"{me + 1}{i:063x}" for me in (0, 1) for i in range(count)]
    assert {key: record.values["s"] for key, record in store.lookup(scores, SCOPE).items()} == {
        key: int(key[1:], 16) / 7 for key in scores
    }
    assert os.listdir(root / "tmp") == []


@pytest.mark.filterwarnings("ignore::prefect_tune.store.signals.StoreWarning")
def test_clearing_under_two_writers_costs_hits_only(root):
    """Whatever is removed in mid-run, nobody fails and nobody reads something wrong."""
    writers = start(root, 100)
    store = StepStore.open(root)
    stop = threading.Event()

    failures: list[Exception] = []

    def clear() -> None:
        while not stop.is_set():
            try:
                store.clear()
            except Exception as error:
                failures.append(error)
            time.sleep(0.002)

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        results = finish(writers)
    finally:
        stop.set()
        thread.join()
    for seen in results:
        assert all(entry is None or entry[0] == entry[1] for entry in seen.values())
    assert failures == []
    assert all("missing" in problem.fault for problem in store.verify())


STEP = """
import sys
import numpy as np
from prefect_tune.store import Record, StepStore
store = StepStore.open(sys.argv[1])
store.put(Record(key="a" * 64, kind="t"), {"X": np.arange(50_000.0), "Y": np.ones(9)}, "ab12", durable=True)
store.put_pack([Record(key="b" * 64, kind="score", values={"s": 0.1})], "ab12")
print(store.counters.writes)
"""


# In order: blob X (F2, F3), blob Y (F2, F3), F4, manifest (F3), F5, pack (F3), F5.
@pytest.mark.parametrize(
    ("failpoint", "known"),
    [
        ("F2:kill@1", ""), ("F3:kill@1", ""), ("F2:kill@3", ""), ("F3:kill@2", ""), ("F4:kill@1", ""),
        ("F3:kill@3", ""), ("F5:kill@1", "a"), ("F3:kill@4", "a"), ("F5:kill@2", "ab"),
    ],
)  # fmt: skip
def test_a_killed_writer_leaves_nothing_half(root, run_script, failpoint, known):
    """After SIGKILL the store verifies, has what was finished, and a rerun adds only the rest."""
    StepStore.open(root)
    assert run_script(STEP, root, failpoint=failpoint).returncode == -9
    store = StepStore.open(root)
    assert store.verify() == []
    found = store.lookup(["a" * 64, "b" * 64], SCOPE)
    assert [key[0] for key in found] == list(known)
    done = run_script(STEP, root)
    assert done.returncode == 0, done.stderr
    store = StepStore.open(root)
    record = store.get("a" * 64, SCOPE)
    assert np.array_equal(store.load(record, "X"), np.arange(50_000.0))
    assert store.get("b" * 64, SCOPE).values == {"s": 0.1}
    assert not known or record == found["a" * 64]
    assert store.verify() == []


def test_threads_of_one_process_share_a_store(store, record):
    """Sixteen threads put and load without harm; each key is written once."""
    failures = []

    def work(me: int) -> None:
        try:
            for i in range(20):
                entry = store.put(record(i), {"X": np.full(20_000, float(i))}, SCOPE)
                assert store.load(entry, "X").mean() == i
                store.put_pack([record(f"{me}-{i}")], SCOPE)
                assert store.get(record(f"{me}-{i}").key, SCOPE) is not None
        except (AssertionError, MissingBlob) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.usage()["ac"]["files"] == 20
    assert store.verify() == []
