"""Adaptive searches measured: against dask-ml, against no pruning, killed, over large files, on many workers.

    python benchmarks/adaptive.py [--case a b c d e] [--rounds 3] [--json FILE] [--peer-venv FOLDER]

(a) Hyperband beside dask-ml's, which runs in an environment of its own with the last Dask it works on; the
    first run builds it (see adaptive_peer.py). The systems take turns within each round; medians and their
    ratio are reported. Both have a warm cluster of two worker processes. prefect-tune starts every round with
    an empty store, and its time includes taking in the data.
(b) Hyperband and a search that prunes nothing (adaptive_circles.py).
(c) A search killed at half and run again (adaptive_resume.py).
(d) Peak memory of every process over Parquet files (adaptive_memory.py); --size makes the data set smaller.
(e) A replay with sleeps on 1 to 64 simulated workers (adaptive_replay.py).
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
warnings.filterwarnings("ignore")

from adaptive_circles import case_b, line_b  # noqa: E402  (threads are pinned before numpy loads)
from adaptive_data import classification  # noqa: E402
from adaptive_memory import case_d, line_d  # noqa: E402
from adaptive_peer import CHUNK, WORKERS, Peer, search_space  # noqa: E402
from adaptive_replay import UNIT, case_e, line_e  # noqa: E402
from adaptive_replay import WORKERS as COUNTS  # noqa: E402
from adaptive_resume import case_c, line_c  # noqa: E402
from machine import machine  # noqa: E402

PEER_VENV = Path(__file__).resolve().parents[1] / "build" / "peer-venv"
MAX_ITER = 81


def run_ours(X: Any, y: Any, seed: int, max_iter: int) -> dict[str, Any]:
    """One search of part (a) with an empty store; what `Peer.fit` says of dask-ml."""
    from sklearn.linear_model import SGDClassifier

    from prefect_tune import hyperband_search

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        start = time.perf_counter()
        result = hyperband_search(
            SGDClassifier(random_state=0), search_space(), X, y, max_iter=max_iter, aggressiveness=3,
            chunk_size=CHUNK, random_state=seed, fit_params={"classes": [0, 1]}, store=folder,
            n_workers=WORKERS, name="bench", verbose=0,
        )  # fmt: skip
        return {
            "seconds": time.perf_counter() - start,
            "planned": int(result.metadata["partial_fit_calls"]),
            "calls": int(result.cost.calls),
            "models": int(result.metadata_done["n_models"]),
            "scores": len(result.history),
            "score": float(result.best_score),
            "seconds_run": float(result.cost.seconds_run),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def case_a(rounds: int, peer_venv: Path, seed: int = 0) -> dict[str, Any]:
    """Both systems in turns on the same rows, cut into the same chunks, with the same candidates."""
    import numpy as np

    X, y = classification()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        np.savez(Path(folder) / "data.npz", X=X, y=y)
        peer = Peer(peer_venv, Path(folder) / "data.npz")
    try:
        run_ours(X, y, 1, 3)
        systems: dict[str, Callable[[], dict[str, Any]]] = {
            "prefect-tune": lambda: run_ours(X, y, seed, MAX_ITER),
            "dask-ml": lambda: peer.fit(seed, MAX_ITER),
        }
        found: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
        for number in range(rounds):
            for system, run in systems.items():
                found[system].append(run())
                took = found[system][-1]["seconds"]
                print(f"  round {number + 1}: {system:13s} {took:8.2f} s", file=sys.stderr, flush=True)
    finally:
        peer.close()
    median = {system: statistics.median(one["seconds"] for one in each) for system, each in found.items()}
    return {
        "title": f"(a) Hyperband, max_iter {MAX_ITER}, 20,000 × 20 in chunks of {CHUNK}",
        "seconds": {system: [one["seconds"] for one in each] for system, each in found.items()},
        "median": median,
        "ratio": median["dask-ml"] / median["prefect-tune"],
        # What two workers would need for the training and scoring alone: no engine can be faster.
        "bound": statistics.median(one["seconds_run"] for one in found["prefect-tune"]) / WORKERS,
        "last": {system: each[-1] for system, each in found.items()},
        "peer_versions": peer.versions,
    }


def line_a(found: dict[str, Any]) -> str:
    """The outcome in words."""
    medians = " · ".join(f"{system} {value:.2f} s" for system, value in found["median"].items())
    work = " · ".join(
        f"{system}: {last['calls']} calls, {last['scores']} scores, best {last['score']:.4f}"
        for system, last in found["last"].items()
    )
    return f"{medians}; speed {found['ratio']:.2f} × dask-ml; bound {found['bound']:.2f} s; {work}"


LINES = {"a": line_a, "b": line_b, "c": line_c, "d": line_d, "e": line_e}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", "--only", nargs="*", default=list(LINES), choices=list(LINES))
    parser.add_argument("--rounds", type=int, default=3, help="of (a) and (c)")
    parser.add_argument("--json", type=Path, help="write the measurements there")
    parser.add_argument("--peer-venv", type=Path, default=PEER_VENV, help="dask-ml's environment, built once")
    parser.add_argument("--seeds", type=int, default=3, help="of (b); the published experiment has 200")
    parser.add_argument("--size", type=float, default=4e9, help="bytes of (d)'s data set, in memory")
    parser.add_argument("--unit", type=float, default=UNIT, help="seconds that stand for one in (e)")
    parser.add_argument("--workers", type=int, nargs="*", default=list(COUNTS), help="simulated in (e)")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = home = tempfile.mkdtemp(prefix="bench-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "a": lambda: case_a(asked.rounds, asked.peer_venv),
        "b": lambda: case_b(asked.seeds),
        "c": lambda: case_c(asked.rounds),
        "d": lambda: case_d(int(asked.size)),
        "e": lambda: case_e(asked.unit, asked.workers),
    }
    results: dict[str, Any] = {"machine": machine("scikit-learn", "pyarrow")}
    for name in asked.case:
        results[name] = cases[name]()
        print(f"{results[name]['title']}: {LINES[name](results[name])}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
