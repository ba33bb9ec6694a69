"""Case 7: what it costs to find a step's output in the store."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from budgets_rows import Row, percentile

SERVER = Path(__file__).resolve().parents[1] / "tests" / "cluster" / "s3_server.py"
KEY_ID, SECRET = "AKIABENCHONLY001", "only-for-benchmarks-0123456789"
SCOPE = "be"


def key_of(number: int) -> str:
    """The key of that number."""
    return f"{number:064x}"


def record_of(number: int, **more: Any) -> Any:
    """What a step with that key left behind."""
    from prefect_tune.store import Record

    return Record(key=key_of(number), kind="fit_transform", family="bench", **more)


def hits(quick: bool) -> list[Row]:
    """Case 7."""
    import numpy as np

    from prefect_tune.store import StepStore

    count, rng = (40 if quick else 200), np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = StepStore.open(f"{folder}/store")
        arrays = [rng.standard_normal(1 << 15) for _ in range(count)]  # 256 KiB: mapped, not copied
        for number, array in enumerate(arrays):
            store.put(record_of(number), {"out": array}, SCOPE)
            np.save(f"{folder}/{number}.npy", array)
        plain = lambda number: np.load(f"{folder}/{number}.npy", mmap_mode="r")  # noqa: E731
        first, again, mapped = [], [], []
        for _ in range(2 if quick else 9):
            opened = StepStore.open(f"{folder}/store")  # has verified nothing yet
            for rounds in (first, again):
                rounds.append(_each(count, lambda number, opened=opened: hit(opened, number), arrays))
            mapped.append(_each(count, plain, arrays))
        _refuses_damage(folder, arrays[0])
    kinds = (("256 KiB, whose bytes are verified", first), ("the same, verified before", again))
    rows = [
        Row(quantity=f"hit: look up, read the manifest, map {what}", measured=_spread(rounds),
            reference=f"{_spread(mapped)}, np.load mapped", ratio=_p50(rounds) / _p50(mapped),
            budget="≤ 1 ms p95, local", met=min(percentile(found, 0.95) for found in rounds) <= 1e-3,
            values={"rounds": [[round(one, 7) for one in found] for found in rounds]})
        for what, rounds in kinds
    ]  # fmt: skip
    return [*rows, remote_hits(10 if quick else 40)]


def hit(store: Any, number: int) -> Any:
    """The output that was stored under the key of that number."""
    record = store.get(key_of(number), SCOPE)
    return store.load(record, "out")


def _each(count: int, read: Callable[[int], Any], arrays: list[Any]) -> list[float]:
    """Seconds of each read, which are then compared with what was written."""
    import numpy as np

    seconds = []
    for number in range(count):
        start = time.perf_counter()
        found = read(number)
        seconds.append(time.perf_counter() - start)
        assert np.array_equal(found, arrays[number])
        assert not found.flags.writeable
    return seconds


def _p50(rounds: list[list[float]]) -> float:
    return percentile([one for found in rounds for one in found], 0.5)


def _spread(rounds: list[list[float]]) -> str:
    """The middle of all, and the 95th percentile: of all, and of the best round."""
    p95 = percentile([one for found in rounds for one in found], 0.95)
    text = f"p50 {1e3 * _p50(rounds):.2f} ms, p95 {1e3 * p95:.2f}"
    return f"{text} (best {1e3 * min(percentile(found, 0.95) for found in rounds):.2f})"


def _refuses_damage(folder: str, array: Any) -> None:
    """AssertionError unless one changed byte makes an entry a miss."""
    from prefect_tune.store import MissingBlob, StepStore

    store = StepStore.open(f"{folder}/store")
    digest = store.get(key_of(0), SCOPE).outputs[0].digest.rpartition(":")[2]
    path = f"{folder}/store/cas/b3-256/{digest[:2]}/{digest}"
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([array.tobytes()[-1] ^ 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            hit(store, 0)
        except MissingBlob:
            return
    raise AssertionError("a damaged entry was served")


def remote_hits(count: int) -> Row:
    """The same from a bucket, through the S3 protocol on this machine; nothing of it is here before."""
    named = "the same from a bucket (S3 protocol, loopback), nothing of it here"
    lacking = [name for name in ("obstore", "moto", "flask") if importlib.util.find_spec(name) is None]
    if lacking or not SERVER.exists():
        return Row(quantity=named, measured=f"not measured: {', '.join(lacking) or SERVER.name} is not there",
                   budget="≤ 60 ms p95, object store")  # fmt: skip
    import numpy as np
    import obstore
    from obstore.store import S3Store

    from prefect_tune.store import open_store_at

    url, rng = "s3://bench/store", np.random.default_rng(1)
    arrays = [rng.standard_normal(1 << 15) for _ in range(count)]
    with bucket() as options, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        writer = open_store_at(url, trust="local", cache=f"{folder}/w", options=options)
        for number, array in enumerate(arrays):
            writer.put(record_of(number), {"out": array}, SCOPE)
        plainly = {name: value for name, value in options.items() if name != "allow_http"}
        client = S3Store("bench", client_options={"allow_http": True}, **plainly)
        for number, array in enumerate(arrays):
            obstore.put(client, f"plain/{number}", array.tobytes())
        reader = open_store_at(url, trust="local", cache=f"{folder}/r", options=options)
        plain = lambda number: np.frombuffer(obstore.get(client, f"plain/{number}").bytes())  # noqa: E731
        found, peer = [], []
        for number in range(count):
            found += _each(1, lambda _, number=number: hit(reader, number), arrays[number:])
            peer += _each(1, lambda _, number=number: plain(number), arrays[number:])
    peers = f"{_spread([peer])}, one GET of the bytes"
    return Row(quantity=named, measured=_spread([found]), reference=peers, ratio=_p50([found]) / _p50([peer]),
               budget="≤ 60 ms p95, object store", met=percentile(found, 0.95) <= 0.06,
               values={"seconds": found})  # fmt: skip


@contextmanager
def bucket() -> Iterator[dict[str, Any]]:
    """Options of a client for the bucket `bench` of a server that is ended afterwards."""
    server = subprocess.Popen([sys.executable, str(SERVER), KEY_ID, "bench"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        yield {"endpoint_url": f"http://127.0.0.1:{port}", "access_key_id": KEY_ID,
               "secret_access_key": SECRET, "region": "us-east-1", "allow_http": True}  # fmt: skip
    finally:
        server.communicate()
