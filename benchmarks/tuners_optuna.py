"""Optuna's study conducts a simulated search: its TPE proposes rows, its pruner stops trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tuners_outside import Outside
from tuners_tables import EPOCHS, RANGES, Table, nearest, to_units


class OptunaSearch(Outside):
    """A study with Optuna's defaults and successive halving by the given factor."""

    def __init__(self, table: Table, seed: int, eta: int) -> None:
        import optuna

        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self.sampler = restricted(table, seed)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=eta)
        self.study = optuna.create_study(sampler=self.sampler, pruner=pruner)
        self.trials: dict[int, Any] = {}

    def choose(self, index: int, records: Sequence[Any]) -> int:
        """The row that the study asks for."""
        self.trials[index] = self.study.ask(kinds())
        return self.sampler.row

    def offer(self, index: int | None) -> Any:
        from prefect_tune.schedules.asynchronous.contract import Job

        return None if index is None else Job(index, 0, EPOCHS)

    def report(self, trial: int, resource: int, loss: float) -> Any:
        from optuna.trial import TrialState

        from prefect_tune.schedules.asynchronous.contract import Decision, Verdict

        ours = self.trials[trial]
        if not self.keep(trial, resource, loss):
            self.study.tell(ours, state=TrialState.FAIL)
            return Decision(Verdict.FAIL)
        ours.report(loss, resource)
        if resource >= EPOCHS:
            self.study.tell(ours, loss)
            return Decision(Verdict.COMPLETE)
        if ours.should_prune():
            self.study.tell(ours, state=TrialState.PRUNED)
            return Decision(Verdict.STOP)
        return Decision(Verdict.CONTINUE, EPOCHS)

    def fail(self, trial: int) -> None:
        from optuna.trial import TrialState

        self.study.tell(self.trials[trial], state=TrialState.FAIL)


def kinds() -> dict[str, Any]:
    """The ranges as Optuna's distributions."""
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(low, high, log=True) for _, name, low, high in RANGES}


def restricted(table: Table, seed: int) -> Any:
    """Optuna's TPE, whose proposals are rows of the table; `row` is the last one."""
    import numpy as np
    from optuna.samplers import TPESampler

    class Restricted(TPESampler):
        def __init__(self) -> None:
            super().__init__(seed=seed)
            self.row, self.used = -1, set[int]()
            self.order = [int(row) for row in np.random.default_rng(seed).permutation(len(table.configs))]

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return kinds()  # all of it from the start: what is found by looking at trials is the same later

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            found = super().sample_relative(study, trial, search_space)
            if len(found) == len(RANGES):
                self.row = nearest(table.units, to_units(found), self.used)
            else:  # its start is random
                self.row = next(row for row in self.order if row not in self.used)
            self.used.add(self.row)
            return dict(table.configs[self.row])

    return Restricted()
