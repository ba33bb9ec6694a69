"""A peer's scheduler in the place of ours: what the simulator asks besides offers and reports."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tuners_tables import EPOCHS


class Outside:
    """Schedule and machine in one: it serves a single simulation."""

    levels = (EPOCHS,)

    def __init__(self) -> None:
        self.told: dict[int, dict[int, float]] = {}

    def begin(self, seed: int, keys: Callable[[int], str]) -> Outside:
        return self

    def losses(self, trial: int) -> dict[int, float]:
        return self.told.get(trial, {})

    def pending(self, trial: int) -> tuple[int, ...]:
        return ()

    def ranking(self) -> list[int]:
        """Trials by their smallest loss."""
        best = {trial: min(told.values()) for trial, told in self.told.items() if told}
        return sorted(best, key=lambda trial: best[trial])

    def keep(self, trial: int, resource: int, loss: float) -> bool:
        """Notes a report; whether its loss is finite."""
        if math.isfinite(loss):
            self.told.setdefault(trial, {})[resource] = loss
            return True
        return False

    def done(self, trial: int) -> Any:
        from prefect_tune.schedules.asynchronous.contract import Decision, Verdict

        return Decision(Verdict.COMPLETE)

    def fail(self, trial: int) -> None:
        """A job was lost."""

    def stop(self, trial: int) -> None:
        """The search is over."""
