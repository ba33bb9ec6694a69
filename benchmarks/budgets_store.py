"""Cases 8 and 9: what it costs to leave a step's output in the store, and to share it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apart import apart
from budgets_hits import SCOPE, hit, key_of, record_of
from budgets_rows import Row, Times, rates, said, timed


def writes(quick: bool) -> list[Row]:
    """Case 8."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return [*_large(folder, quick), *_small(folder, quick)]


def _large(folder: str, quick: bool) -> list[Row]:
    import numpy as np

    from prefect_tune.store import StepStore

    store = StepStore.open(f"{folder}/store")
    array = np.random.default_rng(0).standard_normal(12_500_000)
    serial, path = iter(range(10**6)), f"{folder}/plain.npy"

    def ours(durable: bool) -> Callable[[], Any]:
        number = next(serial)
        array[0] = number  # else the bytes would be there already
        stored = store.put(record_of(number), {"out": array}, SCOPE, durable=durable)
        assert stored.outputs
        return lambda: _same(hit(store, number), array) and store.release([key_of(number)])

    def numpys(durable: bool) -> Callable[[], Any]:
        with open(path, "wb") as file:
            np.save(file, array)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        return lambda: _same(np.load(path), array) and os.unlink(path)

    times = timed(
        3 if quick else 9,
        ours=lambda: ours(durable=False),
        numpy=lambda: numpys(durable=False),
        ours_fsync=lambda: ours(durable=True),
        numpy_fsync=lambda: numpys(durable=True),
    )
    times |= timed(1 if quick else 2, prefect=_prefects_results(f"{folder}/results", array))
    found = rates(times, array.nbytes / 1e9)
    kinds = (
        ("ours", "numpy", "np.save", 0.8, ""),
        ("ours_fsync", "numpy_fsync", "np.save and fsync", 0.8, ", with fsync"),
        ("ours", "prefect", "Prefect's result store", 20, ", beside Prefect"),
    )
    return [
        Row(quantity=f"write an array of 100 MB, hash included{more}", measured=said(found[name], "GB/s"),
            reference=f"{said(found[beside], 'GB/s')}, {told}", ratio=found[name][0] / found[beside][0],
            best_ratio=found[name][1] / found[beside][1], budget=f"≥ {least} × {told}",
            met=found[name][1] >= least * found[beside][1], values=found)
        for name, beside, told, least, more in kinds
    ]  # fmt: skip


def _same(found: Any, array: Any) -> bool:
    import numpy as np

    assert np.array_equal(found, array)
    return True


def _prefects_results(folder: str, array: Any) -> Callable[[], Any]:
    """Writes the array as Prefect keeps the result of a task run: pickled, in JSON, in a local folder."""
    from prefect.filesystems import LocalFileSystem
    from prefect.results import ResultStore

    results = ResultStore(result_storage=LocalFileSystem(basepath=folder))

    def write() -> Callable[[], Any]:
        results.write(array, key="array")
        return lambda: os.unlink(f"{folder}/array")

    return write


def _small(folder: str, quick: bool) -> list[Row]:
    import numpy as np

    from prefect_tune.store import StepStore

    store = StepStore.open(f"{folder}/small")
    array, serial = np.zeros(128), iter(range(10**9))
    values = {"score": 0.5, "text": "x" * 800}

    def entry(durable: bool) -> None:
        array[0] = number = next(serial)
        assert store.put(record_of(number), {"out": array}, SCOPE, durable=durable).outputs

    def pack(durable: bool) -> None:
        assert store.put_pack([record_of(next(serial), values=values)], SCOPE, durable=durable)

    def plain(durable: bool) -> None:
        with open(f"{folder}/temp", "wb") as file:
            file.write(array)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(f"{folder}/temp", f"{folder}/plain-{next(serial)}")

    systems: dict[str, Callable[[], Any]] = {}
    for write in (entry, pack, plain):
        systems[write.__name__] = lambda write=write: write(durable=False)
        systems[f"{write.__name__}_fsync"] = lambda write=write: write(durable=True)
    times = timed(50 if quick else 300, **systems)
    number = next(serial)
    array[0] = number
    store.put(record_of(number), {"out": array}, SCOPE)
    assert _same(hit(StepStore.open(f"{folder}/small"), number), array)
    store.put_pack([record_of(number + 1, values=values)], SCOPE)
    assert StepStore.open(f"{folder}/small").get(key_of(number + 1), SCOPE).values == values
    return [_small_row(times, *kind) for kind in (
        ("entry", "a step's entry with 1 KB of output (blob and manifest)", "", 300),
        ("pack", "a score's entry of 1 KB (a pack of one)", "", 300),
        ("entry", "a step's entry with 1 KB of output (blob and manifest)", "_fsync", 1000),
        ("pack", "a score's entry of 1 KB (a pack of one)", "_fsync", 1000),
    )]  # fmt: skip


def _small_row(times: dict[str, Times], name: str, what: str, how: str, most: int) -> Row:
    ours, plain = times[name + how], times["plain" + how]
    return Row(quantity=f"write {what}{', with fsync' if how else ''}",
               measured=f"{1e6 * ours.median:.0f} µs (best {1e6 * ours.best:.0f})",
               reference=f"{1e6 * plain.median:.0f} µs (best {1e6 * plain.best:.0f}), a file written and "
                         "renamed",
               ratio=ours.median / plain.median, budget=f"≤ {most} µs", met=1e6 * ours.best <= most,
               values={"ours": ours.median, "plain": plain.median, "best": ours.best})  # fmt: skip


# -- shared reads --------------------------------------------------------------------------------------


def anonymous() -> int:
    """Bytes of this process that are no file's: what it really needs."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(lines["Anonymous"].split()[0]) << 10


def readers(place: str, path: str, extra: int) -> dict[str, Any]:
    """What candidates that read the same output cost this process, one after the other, all kept."""
    import numpy as np

    from prefect_tune.store import StepStore

    store = StepStore.open(place)
    warm = store.load(store.get(key_of(1), SCOPE), "out")  # 1 MB: what the first read of any entry loads
    expected, start = float(warm.sum()), anonymous()
    held = [hit(store, 0)]
    total, first = float(held[0].sum()), anonymous()
    held += [hit(store, 0) for _ in range(extra)]
    assert all(float(array.sum()) == total for array in held)
    last = anonymous()
    assert all(np.shares_memory(held[0], array) for array in held[1:])
    assert not held[0].flags.writeable
    assert np.isfinite(expected)
    copies = [np.load(path) for _ in range(2)]
    assert np.array_equal(copies[0], held[0])
    return {"first": first - start, "each": (last - first) / extra, "copy": (anonymous() - last) / 2,
            "no_copy": _is_mapped(held[0])}  # fmt: skip


def _is_mapped(array: Any) -> bool:
    """Whether the memory of an array is a file's."""
    import mmap

    while getattr(array, "base", None) is not None:
        array = array.base
    return isinstance(array.obj if isinstance(array, memoryview) else array, mmap.mmap)


def shared(quick: bool) -> list[Row]:
    """Case 9."""
    import numpy as np

    from prefect_tune.store import StepStore

    extra = 8
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = StepStore.open(f"{folder}/store")
        array = np.random.default_rng(0).standard_normal(2_500_000 if quick else 25_000_000)
        store.put(record_of(0), {"out": array}, SCOPE)
        store.put(record_of(1), {"out": array[:125_000]}, SCOPE)
        np.save(f"{folder}/plain.npy", array)
        found = [apart(readers, f"{folder}/store", f"{folder}/plain.npy", extra) for _ in range(2)]
    each, first = (max(one[name] for one in found) / 1e6 for name in ("each", "first"))
    copy = found[0]["copy"] / 1e6
    told, size = f"{copy:.0f} MB, np.load", f"{array.nbytes / 1e6:.0f} MB"
    no_copy = all(one["no_copy"] for one in found)
    return [
        Row(quantity=f"anonymous memory of each further candidate that reads {size}",
            measured=f"{each:.3f} MB, {'mapped' if no_copy else 'COPIED'}", reference=told, ratio=each / copy,
            budget="no copy, < 1 MB", met=no_copy and each < 1, values={"processes": found}),
        Row(quantity="the same of the first candidate in a further process", measured=f"{first:.3f} MB",
            reference=told, ratio=first / copy, budget="no copy, < 1 MB", met=no_copy and first < 1),
    ]  # fmt: skip
