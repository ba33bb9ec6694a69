"""Ray Tune and Optuna in an environment of their own: the searches of part (b), one per question."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from typing import Any

from tuners_peers import serve

WORKERS = 2
EPOCHS = 9


def train(config: dict[str, Any]) -> None:
    """An objective that does nothing, nine times."""
    from ray import tune

    for epoch in range(1, EPOCHS + 1):
        tune.report({"epoch": epoch, "loss": 1.0})


def run_ray(trials: int) -> dict[str, float]:
    """Ray Tune with its ASHA; actors are used again, which is what helps most with short trials."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        start = time.perf_counter()
        found = tune.Tuner(
            train,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", num_samples=trials, max_concurrent_trials=WORKERS,
                reuse_actors=True,
                scheduler=ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()  # fmt: skip
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "trials": len(found),
            "reports": sum(int(one.metrics["epoch"]) for one in found),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_optuna(trials: int, sampler: str) -> dict[str, float]:
    """Optuna with two threads, its study in memory, pruned by successive halving."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        trial.suggest_float("x", 0, 1)
        for epoch in range(1, EPOCHS + 1):
            trial.report(1.0, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0

    kind = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}[sampler]
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(sampler=kind(seed=1), pruner=pruner)
    start = time.perf_counter()
    study.optimize(objective, n_trials=trials, n_jobs=WORKERS)
    seconds = time.perf_counter() - start
    reports = sum(len(trial.intermediate_values) for trial in study.trials)
    return {"seconds": seconds, "trials": len(study.trials), "reports": reports}


def answer(do: str, **details: Any) -> dict[str, float]:
    """One search."""
    return run_ray(**details) if do == "ray" else run_optuna(**details)


if __name__ == "__main__":
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "PYTHONWARNINGS": "ignore"}
    from importlib.metadata import version

    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        serve({name: version(name) for name in ("ray", "optuna")}, answer)
    finally:
        ray.shutdown()
