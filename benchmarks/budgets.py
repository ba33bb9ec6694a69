"""What one step's identity and storage cost, row by row beside a budget and a reference of the same run.

    python benchmarks/budgets.py [--case 1 2 ... 11] [--quick] [--json FILE]

(1-4)  Fingerprints: arrays, frames, text, files that were seen before (budgets_identity.py).
(5-6)  Keys of steps, and the plan of 10,000 candidates (budgets_keys.py).
(7-9)  The store: a hit (budgets_hits.py), a write, reads that share memory (budgets_store.py).
(10)   A step as a worker runs it, beside its bare fit (budgets_steps.py).
(11)   A killed search that goes on, through Prefect and a local Dask cluster (budgets_resume.py); the lease
       of a dead holder (budgets_leases.py).

What is compared takes turns. Medians are told, and the best round in brackets: budgets are held against
that, since others on the machine can only make a round slower. Each case checks that what it measures is
right: what is read equals what was written, one changed byte changes a digest, the table of a search that was
killed and repeated equals that of an undisturbed one. --quick is smaller, for a look.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
warnings.filterwarnings("ignore")

import budgets_hits  # noqa: E402  (threads are pinned before numpy loads)
import budgets_identity  # noqa: E402
import budgets_keys  # noqa: E402
import budgets_leases  # noqa: E402
import budgets_resume  # noqa: E402
import budgets_steps  # noqa: E402
import budgets_store  # noqa: E402
from machine import machine  # noqa: E402

CASES = {
    1: budgets_identity.arrays,
    2: budgets_identity.frames,
    3: budgets_identity.strings,
    4: budgets_identity.files,
    5: budgets_keys.keys,
    6: budgets_keys.plan,
    7: budgets_hits.hits,
    8: budgets_store.writes,
    9: budgets_store.shared,
    10: budgets_steps.steps,
    11: lambda quick: [budgets_resume.resumed(quick), *budgets_leases.takeovers(quick)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="*", type=int, default=list(CASES), choices=list(CASES))
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = home = tempfile.mkdtemp(prefix="bench-home-")
        import atexit

        atexit.register(shutil.rmtree, home, ignore_errors=True)
    packages = ("scikit-learn", "blake3", "pandas", "pyarrow", "joblib")
    results: dict[str, Any] = {"machine": machine(*packages), "cases": {}}
    print("    quantity | measured | reference in the same run | ratio | budget | verdict")
    for case in asked.case:
        start, load = time.perf_counter(), os.getloadavg()[0]
        rows = CASES[case](asked.quick)
        for row in rows:
            print(row.line(case), flush=True)
        results["cases"][case] = {
            "rows": [row.plain() for row in rows], "seconds": time.perf_counter() - start, "load": load,
        }  # fmt: skip
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2))
    verdicts = [row["met"] for found in results["cases"].values() for row in found["rows"]]
    met, judged = verdicts.count(True), len(verdicts) - verdicts.count(None)
    print(f"(all) {met} of {judged} budgets met, load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
