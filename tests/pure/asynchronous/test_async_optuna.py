"""compat="optuna" beside Optuna's own pruners, trial by trial."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.contract import Verdict

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")


def compare(pruner, schedule, *, trials: int, workers: int, seed: int) -> int:
    """How many trials were stopped; both sides are told the same reports in the same order.

    Some values are equal. The reports of up to `workers` trials are mixed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=str(seed), pruner=pruner)
    machine = schedule.begin(seed, str)
    rng = np.random.default_rng(seed)
    running, stopped, started = {}, 0, 0
    while running or started < trials:
        if started < trials and len(running) < workers:
            trial = study.ask()
            assert machine.offer(started).trial == trial.number == started
            running[started], started = [trial, 0], started + 1
            continue
        number = list(running)[rng.integers(len(running))]
        trial, step = running[number][0], running[number][1] + 1
        running[number][1], loss = step, float(rng.integers(0, 40)) / 4
        verdict = machine.report(number, step, loss).verdict
        if verdict is Verdict.COMPLETE:
            study.tell(trial, loss)
            del running[number]
            continue
        trial.report(loss, step)
        assert trial.should_prune() == (verdict is Verdict.STOP)
        if verdict is Verdict.STOP:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            del running[number]
            stopped += 1
    return stopped


@pytest.mark.parametrize(("eta", "grace", "workers"), [(3, 1, 1), (2, 2, 5), (4, 1, 3)])
def test_successive_halving(eta, grace, workers):
    """Every trial is pruned where Optuna's SuccessiveHalvingPruner prunes it."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=eta)
    schedule = ASHA(20, grace_period=grace, eta=eta, compat="optuna")
    assert compare(pruner, schedule, trials=60, workers=workers, seed=eta) > 20


@pytest.mark.parametrize("seed", range(3))
def test_hyperband(seed):
    """With brackets of their own, by Optuna's checksum, also those of its HyperbandPruner."""
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    schedule = ASHA(27, brackets=4, rung_system_per_bracket=True, compat="optuna")
    assert compare(pruner, schedule, trials=60, workers=4, seed=seed) > 15
