"""Cases 1 to 6: what it costs to say what data, a step and a whole search are."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from apart import apart
from budgets_rows import Row, rates, said, timed

MIB = 2**20
COLUMNS = 40


def _joblib_hash() -> Any:
    """joblib's hash, the peer of several rows; it comes with scikit-learn."""
    import joblib

    return joblib.hash


# -- arrays --------------------------------------------------------------------------------------------


def array_rates(mib: int, threads: int, rounds: int) -> dict[str, tuple[float, float]]:
    """GB/s of a fingerprint and of raw BLAKE3 on as many threads; called in a process that has so many."""
    import numpy as np
    from blake3 import blake3

    from prefect_tune.identity.data import fingerprint

    array = np.random.default_rng(0).standard_normal((mib * MIB // 256, 32))
    raw = memoryview(array).cast("B")
    limit = 1 if threads == 1 else blake3.AUTO
    found = timed(
        rounds,
        ours=lambda: fingerprint(array),
        raw=lambda: blake3(raw, max_threads=limit).digest(),
    )
    whole, canonical = fingerprint(array)
    assert canonical is array
    assert fingerprint(array.copy())[0] == whole
    array.view("u1")[-1, -1] ^= 1
    assert fingerprint(array)[0] != whole
    return rates(found, array.nbytes / 1e9)


def arrays(quick: bool) -> list[Row]:
    """Case 1."""
    import numpy as np

    from prefect_tune.identity.data import fingerprint

    mib, rows = 64 if quick else 256, []
    for threads, least in ((1, 4.0), (2, 8.0)):
        if threads > (os.cpu_count() or 1):
            continue
        found = apart(array_rates, mib, threads, 5 if quick else 21, threads=threads)
        best = found["ours"][1] / found["raw"][1]
        named = f"fingerprint of an array, {mib} MiB, {threads} thread{'s'[: threads - 1]}"
        cells: dict[str, Any] = {
            "measured": said(found["ours"], "GB/s"),
            "reference": said(found["raw"], "GB/s") + ", raw BLAKE3",
            "ratio": found["ours"][0] / found["raw"][0],
            "best_ratio": best,
            "values": found,
        }
        rows.append(Row(quantity=named, budget="≥ 0.9 × raw BLAKE3", met=best >= 0.9, **cells))
        met = found["ours"][1] >= least
        rows.append(Row(quantity=f"{named}, by the clock", budget=f"≥ {least:.0f} GB/s", met=met, **cells))
    array, peer = np.random.default_rng(0).standard_normal(4 * MIB), _joblib_hash()
    times = timed(3, ours=lambda: fingerprint(array), joblib=lambda: peer(array))
    found = rates(times, array.nbytes / 1e9)
    peers = said(found["joblib"], "GB/s") + ", joblib.hash"
    rows.append(Row(quantity="the same, 32 MiB, beside a peer", measured=said(found["ours"], "GB/s"),
                    reference=peers, ratio=found["ours"][0] / found["joblib"][0], values=found))  # fmt: skip
    return rows


# -- frames --------------------------------------------------------------------------------------------


def _frame(rows: int, columns: int, mixed: bool) -> Any:
    """A frame as pandas builds it from columns: of floats, or of floats and ints by turns."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    make = (rng.standard_normal, lambda size: rng.integers(0, 1000, size))
    return pd.DataFrame({f"c{i}": make[i % 2 if mixed else 0](rows) for i in range(columns)})


def frames(quick: bool) -> list[Row]:
    """Case 2."""
    import numpy as np
    import pandas as pd
    from blake3 import blake3

    from prefect_tune.identity.data import fingerprint

    rows = []
    for mixed, kind in ((False, "of floats"), (True, "of floats and ints")):
        table = _frame(50_000 if quick else 400_000, COLUMNS, mixed)
        size = int(table.memory_usage(index=False).sum())
        block = np.ones(size, "u1")
        times = timed(
            5 if quick else 11,
            ours=lambda table=table: fingerprint(table),
            raw=lambda block=block: blake3(block, max_threads=blake3.AUTO).digest(),
        ) | timed(1, pandas=lambda table=table: pd.util.hash_pandas_object(table))
        found = rates(times, size / 1e9)
        whole, canonical = fingerprint(table)
        pd.testing.assert_frame_equal(canonical, table)
        assert fingerprint(table.copy())[0] == whole
        table.iloc[-1, -1] += 1
        assert fingerprint(table)[0] != whole
        named = f"fingerprint of a frame {kind}, {COLUMNS} columns, {size / 1e6:.0f} MB"
        told = f"{said(found['raw'], 'GB/s')}, raw BLAKE3; {found['pandas'][0]:.2f}, pandas' hash of rows"
        rows.append(Row(quantity=named, measured=said(found["ours"], "GB/s"), reference=told,
                        ratio=found["ours"][0] / found["raw"][0], budget="≥ 3 GB/s",
                        met=found["ours"][1] >= 3, values=found))  # fmt: skip
        rows.append(_small_frames(mixed, kind, quick))
    return rows


def _small_frames(mixed: bool, kind: str, quick: bool) -> Row:
    """What a frame of 16 rows costs, as a line through several numbers of columns."""
    import numpy as np
    import pandas as pd

    from prefect_tune.identity.data import fingerprint

    tables = {count: _frame(16, count, mixed) for count in (1, 10, 40, 100)}
    systems: dict[str, Any] = {}
    for count, table in tables.items():
        systems[f"ours{count}"] = lambda table=table: fingerprint(table)
        systems[f"pandas{count}"] = lambda table=table: pd.util.hash_pandas_object(table)
    times = timed(50 if quick else 200, **systems)
    best = {name: 1e6 * found.best for name, found in times.items()}
    each, once = np.polyfit(list(tables), [best[f"ours{count}"] for count in tables], 1)
    assert len({fingerprint(table)[0] for table in tables.values()}) == len(tables)
    ours, theirs = (1e6 * times[f"{name}{COLUMNS}"].median for name in ("ours", "pandas"))
    return Row(quantity=f"overhead of a small frame {kind}",
               measured=f"{once:.0f} µs + {each:.1f} µs per column; {ours:.0f} µs at {COLUMNS} "
                        f"(best {best[f'ours{COLUMNS}']:.0f})",
               reference=f"{theirs:.0f} µs at {COLUMNS}, pandas' hash of rows", ratio=ours / theirs,
               budget="< 50 µs + 5 µs per column",
               met=all(best[f"ours{count}"] < 50 + 5 * count for count in tables),
               values={"once": float(once), "each": float(each), "best": best})  # fmt: skip


# -- text ----------------------------------------------------------------------------------------------


def strings(quick: bool) -> list[Row]:
    """Case 3."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from blake3 import blake3

    from prefect_tune.identity.data import fingerprint

    count = 100_000 if quick else 1_000_000
    numbers = np.random.default_rng(0).integers(0, 10**9, count)
    texts = [f"user-{number}" for number in numbers.tolist()]
    size = sum(map(len, texts))
    arrow, text, objects = pa.array(texts), pd.Series(texts, dtype="str"), np.array(texts, dtype=object)
    buffers = [memoryview(buffer) for buffer in arrow.buffers() if buffer is not None]
    peer, few = _joblib_hash(), objects[: count // 20]
    times = timed(
        7,
        arrow=lambda: fingerprint(arrow),
        pandas=lambda: fingerprint(text),
        objects=lambda: fingerprint(objects),
        raw=lambda: [blake3(buffer, max_threads=blake3.AUTO).digest() for buffer in buffers],
        joined=lambda: "".join(texts).encode(),
    )
    found = rates(times, size / 1e6) | rates(timed(1, joblib=lambda: peer(few)), size / 20 / 1e6)
    changed = [*texts[:-1], texts[-1][:-1] + "x"]
    for whole, other in (
        (arrow, pa.array(changed)),
        (text, pd.Series(changed, dtype="str")),
        (objects, np.array(changed, dtype=object)),
    ):
        assert fingerprint(whole)[0] != fingerprint(other)[0]
    assert fingerprint(pa.chunked_array([arrow[:10], arrow[10:]]))[0] == fingerprint(arrow)[0]
    raw = said(found["raw"], "MB/s") + ", raw BLAKE3 of its buffers"
    joined = f"{said(found['joined'], 'MB/s')}, joining them; {found['joblib'][0]:.1f}, joblib.hash"
    kinds = (
        ("arrow", "Arrow", 1000, "raw", raw),
        ("pandas", f"pandas str ({text.dtype.storage})", 1000, "raw", raw),
        ("objects", "objects", 100, "joined", joined),
    )
    return [
        Row(quantity=f"fingerprint of {count:,} strings, {size / 1e6:.0f} MB, {kind}",
            measured=said(found[name], "MB/s"), reference=reference, values=found,
            ratio=found[name][0] / found[beside][0], budget=f"≥ {least} MB/s", met=found[name][1] >= least)
        for name, kind, least, beside, reference in kinds
    ]  # fmt: skip


# -- files ---------------------------------------------------------------------------------------------


def files(quick: bool) -> list[Row]:
    """Case 4."""
    import numpy as np
    import pandas as pd

    from prefect_tune.chunks.files import file_states
    from prefect_tune.store import StepStore

    count = 100 if quick else 500
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data, old = Path(folder) / "data", time.time() - 60
        data.mkdir()
        paths = [str(data / f"part-{i:04d}.parquet") for i in range(count)]
        for i, path in enumerate(paths):
            pd.DataFrame({"x": np.arange(i, i + 1000.0)}).to_parquet(path)
            os.utime(path, (old, old))
        time.sleep(2.1)  # younger files are not remembered, whatever their time of change
        store = StepStore.open(f"{folder}/store")
        start = time.perf_counter()
        first = file_states(paths, store)
        cold = time.perf_counter() - start
        times = timed(
            11,
            ours=lambda: file_states(paths, store),
            anew=lambda: file_states(paths, StepStore.open(f"{folder}/store")),
            stat=lambda: list(map(os.stat, paths)),
        )
        assert file_states(paths, store) == first
        with open(paths[0], "r+b") as file:
            byte = file.read(101)[-1]
            file.seek(100)
            file.write(bytes([byte ^ 1]))
        second = file_states(paths, store)
        assert second[0].digest != first[0].digest
        assert second[1:] == first[1:]
    each = {name: 1e6 * found.median / count for name, found in times.items()}
    best = {name: 1e6 * found.best / count for name, found in times.items()}
    kinds = (("ours", f"of {count} Parquet files again"), ("anew", "of the same, the store just opened"))
    return [
        Row(quantity=f"fingerprint {what}", measured=f"{each[name]:.1f} µs per file (best {best[name]:.1f})",
            reference=f"{each['stat']:.1f} µs, os.stat; {1e6 * cold / count:.0f} the first time",
            ratio=each[name] / each["stat"], budget="≤ 5 µs per file", met=best[name] <= 5,
            values={"median": each, "best": best})
        for name, what in kinds
    ]  # fmt: skip
