"""Searches over any objective measured: on tables in simulated time, beside Ray Tune and Optuna, killed.

    python benchmarks/tuners.py [--case a b c d] [--seeds 20] [--json FILE] [--peers FOLDER]

(a) Regret against epochs of a dozen searches on the tables in ../shared/data/taskset, where that folder is
    (tuners_simulated.py); draws docs/images/tuners.png. What PASHA saves; how many workers stay busy.
(b) What a trial costs whose objective costs nothing, beside Ray Tune and Optuna (tuners_overhead.py).
(c) What a suggestion takes at 100, 500 and 1,000 records (tuners_suggest.py).
(d) A search that is killed again and again (tuners_kill.py).

Ray and Syne Tune have environments of their own, which the first run builds.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
warnings.filterwarnings("ignore")

from machine import machine  # noqa: E402
from tuners_kill import case_d, line_d  # noqa: E402  (threads are pinned before numpy loads)
from tuners_methods import METHODS  # noqa: E402
from tuners_overhead import case_b, line_b  # noqa: E402
from tuners_simulated import Asked, case_a, line_a  # noqa: E402
from tuners_suggest import case_c, line_c  # noqa: E402

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "tuners.png"
LINES = {"a": line_a, "b": line_b, "c": line_c, "d": line_d}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", "--only", nargs="*", default=list(LINES), choices=list(LINES))
    parser.add_argument("--json", type=Path, help="write the measurements there")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, built once")
    parser.add_argument("--seeds", type=int, default=20, help="of (a)")
    parser.add_argument("--slow-seeds", type=int, default=10, help="of (a)'s searches with a model")
    parser.add_argument("--budget", type=int, default=1000, help="epochs of each search of (a)")
    parser.add_argument("--methods", nargs="*", default=[], choices=list(METHODS), help="of (a)")
    parser.add_argument("--runs", type=Path, help="file of (a)'s finished runs, kept and used again")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where (a)'s picture goes")
    parser.add_argument("--trials", type=int, default=200, help="of (b)")
    parser.add_argument("--rounds", type=int, default=3, help="of (b) and (d)")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.peers:
        os.environ["TUNERS_PEERS"] = str(asked.peers.resolve())
    if "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = home = tempfile.mkdtemp(prefix="bench-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    simulations = Asked(asked.seeds, asked.slow_seeds, asked.budget, tuple(asked.methods), asked.runs)
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "a": lambda: case_a(simulations, asked.picture),
        "b": lambda: case_b(asked.trials, asked.rounds),
        "c": case_c,
        "d": lambda: case_d(asked.rounds),
    }
    results: dict[str, Any] = {"machine": machine("optuna", "scipy")}
    for name in asked.case:
        results[name] = cases[name]()
        print(f"{results[name]['title']}: {LINES[name](results[name])}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
