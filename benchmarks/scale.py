"""Planning and driving cost measured as a search grows: seconds, memory, and how fast they grow.

    python benchmarks/scale.py [--case a b c d] [--most 100000] [--real 2000] [--json FILE]

(a) Planning: a grid of 10^2 to 10^5 candidates × 5 folds × 4 steps, most of them shared; Hyperband's
    brackets for max_iter up to 10^5 (scale_plans.py).
(b) Deciding: asynchronous halving on 10 to 10^4 simulated workers, rungs of 10^5 records, and whole
    searches of 10^3 to 10^5 trials without workers (scale_decisions.py).
(c) The journal: lines written, with the disk waited for, and 10^5 events read and replayed.
(d) A search of --real cheap candidates through Prefect and a local Dask cluster (scale_real.py).

Every size is measured in a process of its own. Growth is the exponent from one size to the next: 1 is linear,
2 square. A size is left out, and that is said, where those before foretell more than --patience seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
warnings.filterwarnings("ignore")

from apart import apart  # noqa: E402
from machine import machine  # noqa: E402
from scale_decisions import journal_lines, replay, rungs, tuner, workers  # noqa: E402
from scale_plans import grid, hyperband  # noqa: E402
from scale_real import real  # noqa: E402

SIZES = (100, 1_000, 10_000, 100_000)
BUDGET = 3.0  # seconds for a plan of 10,000 candidates × 5 folds × 4 steps


def memory() -> tuple[int, int]:
    """Bytes of this process now, and the most that it has had."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, most = (int(lines[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
    return now, most


def _measured(function: Callable[[int], dict[str, Any]], size: int) -> dict[str, Any]:
    before, start = memory()[0], time.perf_counter()
    cpu = time.process_time()
    found = function(size)
    return {
        "size": size,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "bytes": memory()[1] - before,
        **found,
    }


def measured(function: Callable[[int], dict[str, Any]], size: int) -> dict[str, Any]:
    """Seconds and bytes of a call in a process of its own; what it returns stands above what is measured."""
    return apart(_measured, function, size, method="fork")


def grown(function: Callable[[int], dict[str, Any]], sizes: Sequence[int], patience: float) -> dict[str, Any]:
    """The measurements of each size, and the exponents between them."""
    rows: list[dict[str, Any]] = []
    left_out = []
    for size in sizes:
        if rows and _foretold(rows, size) > patience:
            left_out.append(size)
            continue
        print(f"  {function.__name__}({size:,}) …", end="", file=sys.stderr, flush=True)
        rows.append(measured(function, size))
        print(f" {rows[-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
    return {"rows": rows, "exponents": exponents(rows), "left_out": left_out}


def exponents(rows: Sequence[dict[str, Any]]) -> list[float]:
    """How fast the seconds of processor time grow from one size to the next."""
    return [math.log(b["cpu"] / a["cpu"]) / math.log(b["size"] / a["size"]) for a, b in pairwise(rows)]


def _foretold(rows: Sequence[dict[str, Any]], size: int) -> float:
    """Seconds that a size will take, if it goes on as from the last two."""
    power = max(0.0, (exponents(rows) or [1.0])[-1])
    return rows[-1]["seconds"] * (size / rows[-1]["size"]) ** power


def line(name: str, found: dict[str, Any]) -> str:
    """The outcome in words."""
    rows = " · ".join(
        f"{row['size']:,}: {row['seconds']:.3g} s, {row['bytes'] >> 20} MiB" for row in found["rows"]
    )
    each = found["rows"][-1]
    powers = ", ".join(f"{power:.2f}" for power in found["exponents"]) or "-"
    per = f"{1e6 * each['cpu'] / each['size']:.0f} µs and {each['bytes'] / each['size'] / 1024:.1f} KiB each"
    more = {k: v for k, v in each.items() if k not in ("size", "seconds", "cpu", "bytes")}
    said = f"; {more}" if more else ""
    missing = f"; left out: {found['left_out']}" if found["left_out"] else ""
    return f"{name}: {rows}; exponents {powers}; at the largest {per}{said}{missing}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", "--only", nargs="*", default=list("abcd"), choices=list("abcd"))
    parser.add_argument("--most", type=int, default=SIZES[-1], help="largest size of (a), (b) and (c)")
    parser.add_argument("--real", type=int, default=2_000, help="candidates of (d); 20000 for the long one")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds that one size may take")
    parser.add_argument("--json", type=Path, help="write the measurements there")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    sizes = [size for size in SIZES if size <= asked.most]
    cases: dict[str, dict[str, tuple[Callable[[int], dict[str, Any]], Sequence[int]]]] = {
        "a": {"grid": (grid, sizes), "hyperband": (hyperband, sizes)},
        "b": {
            "workers": (workers, [count for count in (10, 100, 1_000, 10_000) if count <= asked.most]),
            "rungs": (rungs, sizes[1:]),
            "tuner": (tuner, sizes[1:]),
        },
        "c": {"journal": (journal_lines, [1_000]), "replay": (replay, sizes[1:])},
        "d": {"real": (real, [asked.real])},
    }
    results: dict[str, Any] = {"machine": machine("scikit-learn")}
    if "a" in asked.case:
        grid(50)  # whoever forks finds everything imported
    for case in asked.case:
        results[case] = {}
        for name, (function, of) in cases[case].items():
            results[case][name] = found = grown(function, of, asked.patience)
            print(f"({case}) {line(name, found)}", flush=True)
            if asked.json:
                asked.json.write_text(json.dumps(results, indent=2))
    if "a" in results:
        for row in results["a"]["grid"]["rows"]:
            if row["size"] == 10_000:
                print(f"(a) 10,000 candidates in {row['plan_seconds']:.2f} s; the budget is {BUDGET:.0f} s")


if __name__ == "__main__":
    main()
