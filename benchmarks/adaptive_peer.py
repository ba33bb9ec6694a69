"""dask-ml's HyperbandSearchCV in an environment of its own, and what runs inside that environment.

dask-ml's adaptive searches stop working on a Dask newer than 2025.1, so the benchmark builds a virtual
environment with that Dask, once, and starts this file with its interpreter:

    <peer>/bin/python adaptive_peer.py DATA.npz

The process starts a cluster of two single-threaded worker processes, runs a small search that is not
counted, and prints a line of JSON. Then each line `fit SEED MAX_ITER` on its standard input is one search,
answered by a line of JSON; the end of its input ends it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

WORKERS = 2
CHUNK = 500
PINS = [
    "dask-ml==2025.1.0",
    "dask[array,dataframe]==2025.1.*",
    "distributed==2025.1.*",
    "scikit-learn==1.6.*",
    "numpy<3",
    "pandas<3",
]


def search_space() -> dict[str, Any]:
    """The candidates of part (a), the same objects on both sides."""
    from scipy.stats import loguniform

    return {
        "alpha": loguniform(1e-6, 1e-1),
        "eta0": loguniform(1e-3, 1e0),
        "learning_rate": ["constant", "invscaling", "adaptive", "optimal"],
        "penalty": ["l2", "l1", "elasticnet"],
        "average": [True, False],
        "l1_ratio": [0.05, 0.15, 0.5, 0.85],
    }


def build(folder: Path) -> Path:
    """The interpreter of the peer's environment, which is built in `folder` unless it is there."""
    python, stamp = folder / "bin" / "python", folder / "pins.json"
    if stamp.exists() and json.loads(stamp.read_text()) == PINS and python.exists():
        return python
    print(f"building dask-ml's environment in {folder} (once)", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-qq", *PINS], check=True)
    stamp.write_text(json.dumps(PINS))
    return python


class Peer:
    """dask-ml in its own process, with a warm cluster; `fit` says what one search took."""

    def __init__(self, folder: Path, data: Path) -> None:
        names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        self._process = subprocess.Popen(
            [str(build(folder)), str(Path(__file__).resolve()), str(data)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.versions: dict[str, str] = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"dask-ml's process ended with status {self._process.wait()}")
        return json.loads(line)

    def fit(self, seed: int, max_iter: int) -> dict[str, Any]:
        """{seconds, calls, planned, scores, score} of one search."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"fit {seed} {max_iter}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def fit_once(X: Any, y: Any, seed: int, max_iter: int) -> dict[str, Any]:
    """One search by dask-ml; only `fit` is timed."""
    from dask_ml.model_selection import HyperbandSearchCV
    from sklearn.linear_model import SGDClassifier

    search = HyperbandSearchCV(
        SGDClassifier(random_state=0), search_space(), max_iter=max_iter, aggressiveness=3, random_state=seed
    )
    start = time.perf_counter()
    search.fit(X, y, classes=[0, 1])
    return {
        "seconds": time.perf_counter() - start,
        "planned": int(search.metadata["partial_fit_calls"]),
        "calls": int(search.metadata_["partial_fit_calls"]),
        "models": int(search.metadata_["n_models"]),
        "scores": len(search.history_),
        "score": float(search.best_score_),
    }


def serve(data: Path) -> None:
    """Answers the lines of standard input until it ends."""
    from importlib.metadata import version

    import dask.array as da
    import numpy as np
    from distributed import Client, LocalCluster

    loaded = np.load(data)
    options = {"n_workers": WORKERS, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        rows = (CHUNK, loaded["X"].shape[1])
        # Not persisted: blocks on the workers fail in its split on this Dask (with graph fusion off they
        # work, and the search takes a few percent longer than with the arrays as they are).
        X, y = da.from_array(loaded["X"], chunks=rows), da.from_array(loaded["y"], chunks=CHUNK)
        fit_once(X, y, 1, 3)
        names = ("dask-ml", "dask", "distributed", "scikit-learn", "numpy")
        print(json.dumps({name: version(name) for name in names}), flush=True)
        for line in sys.stdin:
            _, seed, max_iter = line.split()
            print(json.dumps(fit_once(X, y, int(seed), int(max_iter))), flush=True)


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.filterwarnings("ignore")
    serve(Path(sys.argv[1]))
