"""Cases 7 to 9: what it costs to find a step's output in the store, to leave one there, and to share it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from budgets_rows import Row, Times, apart, percentile, timed

SERVER = Path(__file__).resolve().parents[1] / "tests" / "cluster" / "s3_server.py"
KEY_ID, SECRET = "AKIABENCHONLY001", "only-for-benchmarks-0123456789"
SCOPE = "be"


def _key(number: int) -> str:
    return f"{number:064x}"


def _record(number: int, **more: Any) -> Any:
    from prefect_tune.store import Record

    return Record(key=_key(number), kind="fit_transform", family="bench", **more)


# -- hits ----------------------------------------------------------------------------------------------


def hits(quick: bool) -> list[Row]:
    """Case 7."""
    import numpy as np

    from prefect_tune.store import StepStore

    count, rng = (40 if quick else 200), np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = StepStore.open(f"{folder}/store")
        arrays = [rng.standard_normal(1 << 15) for _ in range(count)]  # 256 KiB: mapped, not copied
        for number, array in enumerate(arrays):
            store.put(_record(number), {"out": array}, SCOPE)
            np.save(f"{folder}/{number}.npy", array)
        plain = lambda number: np.load(f"{folder}/{number}.npy", mmap_mode="r")  # noqa: E731
        first, again, mapped = [], [], []
        for _ in range(2 if quick else 5):
            opened = StepStore.open(f"{folder}/store")  # has verified nothing yet
            for seconds, hit in ((first, opened), (again, opened)):
                seconds += _each(count, lambda number, hit=hit: _hit(hit, number), arrays)
            mapped += _each(count, plain, arrays)
        _refuses_damage(folder, arrays[0])
    told = f"p50 {1e3 * percentile(mapped, 0.5):.3f} ms, p95 {1e3 * percentile(mapped, 0.95):.3f}, np.load"
    kinds = (("256 KiB, whose bytes are verified", first), ("the same, verified before", again))
    rows = [
        Row(quantity=f"hit: look up, read the manifest, map {what}", measured=_spread(found), reference=told,
            ratio=percentile(found, 0.5) / percentile(mapped, 0.5), budget="≤ 1 ms p95, local",
            met=percentile(found, 0.95) <= 1e-3, values={"seconds": [round(one, 7) for one in found]})
        for what, found in kinds
    ]  # fmt: skip
    return [*rows, remote_hits(10 if quick else 40)]


def _hit(store: Any, number: int) -> Any:
    record = store.get(_key(number), SCOPE)
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


def _spread(seconds: list[float]) -> str:
    return f"p50 {1e3 * percentile(seconds, 0.5):.3f} ms, p95 {1e3 * percentile(seconds, 0.95):.3f}"


def _refuses_damage(folder: str, array: Any) -> None:
    """AssertionError unless one changed byte makes an entry a miss."""
    import warnings

    from prefect_tune.store import MissingBlob, StepStore

    store = StepStore.open(f"{folder}/store")
    digest = store.get(_key(0), SCOPE).outputs[0].digest.rpartition(":")[2]
    path = f"{folder}/store/cas/b3-256/{digest[:2]}/{digest}"
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([array.tobytes()[-1] ^ 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _hit(store, 0)
        except MissingBlob:
            return
    raise AssertionError("a damaged entry was served")


def remote_hits(count: int) -> Row:
    """The same from a bucket, through the S3 protocol on this machine; nothing of it is here before."""
    named = "the same from a bucket (S3 protocol, loopback), nothing of it here"
    lacking = [name for name in ("obstore", "moto", "flask") if importlib.util.find_spec(name) is None]
    if lacking or not SERVER.exists():
        return Row(quantity=named, measured=f"not measured: {', '.join(lacking) or SERVER.name} is not there",
                   budget="≤ 60 ms p95")  # fmt: skip
    import numpy as np
    import obstore
    from obstore.store import S3Store

    from prefect_tune.store import open_store_at

    url, rng = "s3://bench/store", np.random.default_rng(1)
    arrays = [rng.standard_normal(1 << 15) for _ in range(count)]
    with bucket() as options, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        writer = open_store_at(url, trust="local", cache=f"{folder}/w", options=options)
        for number, array in enumerate(arrays):
            writer.put(_record(number), {"out": array}, SCOPE)
        client = S3Store("bench", client_options={"allow_http": True},
                         **{name: value for name, value in options.items() if name != "allow_http"})  # fmt: skip
        for number, array in enumerate(arrays):
            obstore.put(client, f"plain/{number}", array.tobytes())
        reader = open_store_at(url, trust="local", cache=f"{folder}/r", options=options)
        plain = lambda number: np.frombuffer(obstore.get(client, f"plain/{number}").bytes())  # noqa: E731
        found, peer = [], []
        for number in range(count):
            found += _each_one(lambda number=number: _hit(reader, number), arrays[number])
            peer += _each_one(lambda number=number: plain(number), arrays[number])
    ratio = percentile(found, 0.5) / percentile(peer, 0.5)
    return Row(quantity=named, measured=_spread(found), reference=f"{_spread(peer)}, one GET of the bytes",
               ratio=ratio, budget="≤ 60 ms p95", met=percentile(found, 0.95) <= 0.06)  # fmt: skip


def _each_one(read: Callable[[], Any], array: Any) -> list[float]:
    return _each(1, lambda _: read(), [array])


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


# -- writes --------------------------------------------------------------------------------------------


def writes(quick: bool) -> list[Row]:
    """Case 8."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return [*_large(folder, 3 if quick else 7), *_small(folder, 50 if quick else 300)]


def _large(folder: str, rounds: int) -> list[Row]:
    import numpy as np

    from prefect_tune.store import StepStore

    store = StepStore.open(f"{folder}/store")
    array = np.random.default_rng(0).standard_normal(12_500_000)
    size, serial = array.nbytes / 1e9, iter(range(10**6))

    def ours(durable: bool) -> None:
        array[0] = number = next(serial)  # else the bytes are there already
        store.put(_record(number), {"out": array}, SCOPE, durable=durable)

    def ended() -> None:
        found = _hit(store, serial.__reduce__()[1][0].start - 1 if False else last())
        assert np.array_equal(found, array)

    def last() -> int:
        return int(array[0])

    def numpy(durable: bool) -> None:
        with open(f"{folder}/plain.npy", "wb") as file:
            np.save(file, array)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.unlink(f"{folder}/plain.npy")

    def cleared(run: Callable[[], None]) -> Callable[[], None]:
        return run

    raise NotImplementedError
