"""Part (b): what a trial costs whose objective costs nothing, beside Ray Tune and Optuna.

200 trials of 9 reports each on two workers, all reports equal, so that asynchronous halving, which decides
after epochs 1 and 3, stops nobody. Every system has its workers warm and has run a few trials that are not
counted; what is counted is wall time over trials. Ray Tune and Optuna run in a process and an environment of
their own (tuners_ray.py). Optuna's trials are threads of that process: nothing is stored and nothing can be
killed, so its figure is a floor, not a goal.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from tuners_peers import Absent, Peer

WORKERS = 2
EPOCHS = 9
WARM = 4


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """An objective that does nothing, nine times."""
    for epoch in range(1, EPOCHS + 1):
        yield {"epoch": epoch, "loss": 1.0}


def run_ours(address: str, trials: int, sampler: str) -> dict[str, float]:
    """One search with an empty store on a cluster that is there."""
    from prefect_tune import tune
    from prefect_tune.space import uniform

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        start = time.perf_counter()
        result = tune(
            train, {"x": uniform(0, 1)}, n_trials=trials, sampler=sampler, schedule="asha",
            max_resource=EPOCHS, store=folder, cluster=address, seed=1, name="overhead", verbose=0,
        )  # fmt: skip
        return {
            "seconds": time.perf_counter() - start,
            "trials": len(result),
            "reports": sum(trial.evaluations for trial in result),
            # Levels of asynchronous halving that were reached: one task run each.
            "rungs": sum(1 for trial in result for level in result.levels if trial.resource >= level),
            "task_runs": result.cost.task_runs,
            "suggesting": result.cost.seconds_suggesting,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def case_b(trials: int = 200, rounds: int = 3) -> dict[str, Any]:
    """All systems in turns."""
    from distributed import Client, LocalCluster

    title = f"(b) {trials} trials × {EPOCHS} reports of an empty objective, {WORKERS} workers"
    options: dict[str, Any] = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    try:
        peer: Peer | None = Peer("ray", "tuners_ray.py")
        absent = ""
    except (Absent, RuntimeError) as error:
        peer, absent = None, str(error)
    with LocalCluster(processes=True, **options) as cluster, Client(cluster):
        address = cluster.scheduler_address
        systems: dict[str, Callable[[int], dict[str, float]]] = {
            "prefect-tune": lambda count: run_ours(address, count, "random"),
            "prefect-tune, TPE": lambda count: run_ours(address, count, "tpe"),
        }
        if peer is not None:
            systems |= {
                "Ray Tune ASHA": lambda count: peer.ask(do="ray", trials=count),
                "Optuna, n_jobs=2": lambda count: peer.ask(do="optuna", trials=count, sampler="random"),
                "Optuna, n_jobs=2, TPE": lambda count: peer.ask(do="optuna", trials=count, sampler="tpe"),
            }
        try:
            found = in_turns(systems, trials, rounds)
        finally:
            if peer is not None:
                peer.close()
    median = {
        name: statistics.median(one["seconds"] / one["trials"] for one in each)
        for name, each in found.items()
    }
    ray = median.get("Ray Tune ASHA")
    return {
        "title": title,
        "seconds": {name: [one["seconds"] for one in each] for name, each in found.items()},
        "per_trial": median,
        "ratio": ray and ray / median["prefect-tune"],
        "last": {name: each[-1] for name, each in found.items()},
        "peer_versions": peer.versions if peer else None,
        "absent": absent,
    }


def in_turns(systems: dict[str, Any], trials: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Each system's searches, after one of few trials that is not counted."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
    for run in systems.values():
        run(WARM)
    for number in range(rounds):
        for name, run in systems.items():
            found[name].append(run(trials))
            took = found[name][-1]["seconds"]
            print(f"  round {number + 1}: {name:22s} {took:8.2f} s", file=sys.stderr, flush=True)
    return found


def line_b(found: dict[str, Any]) -> str:
    """The outcome in words."""
    each = " · ".join(f"{name} {1000 * value:.1f} ms" for name, value in found["per_trial"].items())
    ours = found["last"]["prefect-tune"]
    ray = f"{found['ratio']:.1f} × less than Ray Tune" if found["ratio"] else f"no peers: {found['absent']}"
    return (
        f"per trial: {each}; {ray}; {ours['task_runs']} task runs for {ours['rungs']} rungs reached, "
        f"{ours['reports']} reports"
    )
