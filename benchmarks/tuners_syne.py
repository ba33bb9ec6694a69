"""Syne Tune's schedulers conduct a simulated search from an environment of their own, rows by number.

    <peer>/bin/python tuners_syne.py

Each question on its standard input is one event; see `Server`.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuners_outside import Outside
from tuners_peers import Peer, serve
from tuners_tables import EPOCHS, RANGES

if TYPE_CHECKING:
    from tuners_tables import Table

_RUNNING: list[Peer] = []


def peer() -> Peer:
    """One process per process of ours, started when first needed."""
    if not _RUNNING:
        _RUNNING.append(Peer("syne-tune", "tuners_syne.py"))
        atexit.register(_RUNNING[0].close)
    return _RUNNING[0]


class SyneSearch(Outside):
    """A scheduler of Syne Tune by name: ASHA or MOBSTER, of the stopping type."""

    def __init__(self, table: Table, seed: int, kind: str, eta: int) -> None:
        super().__init__()
        self.peer = peer()
        self.peer.ask(do="begin", kind=kind, seed=seed, eta=eta, configs=list(table.configs))

    def choose(self, index: int, records: Sequence[Any]) -> int:
        return int(self.peer.ask(do="suggest", trial=index))

    def offer(self, index: int | None) -> Any:
        from prefect_tune.schedules.asynchronous.contract import Job

        return None if index is None else Job(index, 0, EPOCHS)

    def report(self, trial: int, resource: int, loss: float) -> Any:
        from prefect_tune.schedules.asynchronous.contract import Decision, Verdict

        if not self.keep(trial, resource, loss):
            self.fail(trial)
            return Decision(Verdict.FAIL)
        goes_on = self.peer.ask(do="report", trial=trial, epoch=resource, loss=loss)
        if resource >= EPOCHS:
            return Decision(Verdict.COMPLETE)
        return Decision(Verdict.CONTINUE if goes_on else Verdict.STOP, EPOCHS if goes_on else None)

    def fail(self, trial: int) -> None:
        self.peer.ask(do="fail", trial=trial)


class Server:
    """Syne Tune's side: one scheduler at a time."""

    def __call__(self, do: str, **details: Any) -> Any:
        return getattr(self, do)(**details)

    def begin(self, kind: str, seed: int, eta: int, configs: list[dict[str, float]]) -> bool:
        """A fresh scheduler that may propose the listed settings only."""
        import numpy as np
        from syne_tune.config_space import loguniform
        from syne_tune.optimizer import baselines

        np.random.seed(seed)
        space = {name: loguniform(low, high) for _, name, low, high in RANGES}
        self.rows = {tuple(config.values()): row for row, config in enumerate(configs)}
        self.trials: dict[int, Any] = {}
        self.scheduler = getattr(baselines, kind)(
            space, metric="loss", resource_attr="epoch", mode="min", max_t=EPOCHS, grace_period=1,
            reduction_factor=eta, random_seed=seed, points_to_evaluate=[],
            search_options={"restrict_configurations": configs, "debug_log": False},
        )  # fmt: skip
        return True

    def suggest(self, trial: int) -> int:
        """The row of a new trial."""
        from datetime import datetime

        from syne_tune.backend.trial_status import Trial

        config = self.scheduler.suggest(trial).config
        self.trials[trial] = Trial(trial, config, datetime(2000, 1, 1))
        self.scheduler.on_trial_add(self.trials[trial])
        return self.rows[tuple(config[name] for _, name, _, _ in RANGES)]

    def report(self, trial: int, epoch: int, loss: float) -> bool:
        """Whether the trial goes on."""
        decision = self.scheduler.on_trial_result(self.trials[trial], {"loss": loss, "epoch": epoch})
        if decision == "CONTINUE":
            return True
        self.scheduler.on_trial_remove(self.trials[trial])
        return False

    def fail(self, trial: int) -> bool:
        self.scheduler.on_trial_error(self.trials[trial])
        return True


if __name__ == "__main__":
    import logging
    from importlib.metadata import version

    logging.disable(logging.CRITICAL)
    serve({"syne-tune": version("syne-tune"), "numpy": version("numpy")}, Server())
