"""Cost of a no-op task run: TuneTaskRunner against the stock DaskTaskRunner, on one cluster and one API.

    python benchmarks/task_runner.py [--tasks 200] [--rounds 5] [--workers 2] [--json]

Both runners work on the same address in turns, so that drift of the machine hits both. The first flow run of
each is not counted (connections, imports). The cost is the time from the first submit to the last result,
divided by the number of task runs. The database is a fresh one in a temporary PREFECT_HOME.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from typing import Any


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds per task run of each round, by runner."""
    from prefect import flow, task
    from prefect_dask import DaskTaskRunner

    from prefect_tune.tasks.api import api_settings, ensure_api
    from prefect_tune.tasks.cluster import open_cluster
    from prefect_tune.tasks.runner import TuneTaskRunner

    @task
    def nothing(i: int) -> int:
        return i

    @flow
    def many(count: int) -> float:
        start = time.perf_counter()
        futures = [nothing.submit(i) for i in range(count)]
        assert [future.result() for future in futures] == list(range(count))
        return (time.perf_counter() - start) * 1000 / count

    runners = {"tune": TuneTaskRunner, "stock": DaskTaskRunner}
    rounds: dict[str, list[float]] = {name: [] for name in runners}
    with open_cluster(n_workers=asked.workers) as lease, api_settings(ensure_api()):
        for number in range(asked.rounds + 1):
            for name, runner in runners.items():
                timed = many.with_options(name=f"many-{name}", task_runner=runner(address=lease.address))
                cost = timed(asked.tasks if number else 2 * asked.workers)
                if number:
                    rounds[name].append(cost)
    return rounds


def report(asked: argparse.Namespace, rounds: dict[str, list[float]]) -> dict[str, Any]:
    """The figures with what is needed to judge them."""
    medians = {name: statistics.median(costs) for name, costs in rounds.items()}
    return {
        "what": "milliseconds per no-op task run",
        "median": {name: round(value, 2) for name, value in medians.items()},
        "spread": {name: [round(min(costs), 2), round(max(costs), 2)] for name, costs in rounds.items()},
        "ratio": round(medians["stock"] / medians["tune"], 2),
        "tasks": asked.tasks,
        "rounds": asked.rounds,
        "workers": asked.workers,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("prefect", "prefect-dask", "distributed")},
    }


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ.setdefault("PREFECT_HOME", home)
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        figures = report(asked, measure(asked))
    if asked.json:
        print(json.dumps(figures))
        return
    for name in ("tune", "stock"):
        low, high = figures["spread"][name]
        print(f"{name:>6}: {figures['median'][name]:7.2f} ms per task run  ({low} to {high})")
    print(f" ratio: {figures['ratio']}")


if __name__ == "__main__":
    main()
