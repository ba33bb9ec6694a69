"""What a search has used so far, counted as it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from prefect_tune.trials import TrialState
from prefect_tune.tuning.budget import Status
from prefect_tune.tuning.trial import Trial


@dataclass(slots=True)
class Usage:
    """The counts behind a `Status`, kept up event by event; `Status.of` counts them from the trials.

    Attributes:
        started, finished, completed, failed, evaluations, resource, cost, best_loss: as in `Status`.
    """

    started: int = 0
    finished: int = 0
    completed: int = 0
    failed: int = 0
    evaluations: int = 0
    resource: int = 0
    cost: float = 0.0
    best_loss: float | None = None
    _best_losses: list[float] = field(default_factory=list)

    def reported(self, loss: float, units: int, cost: float) -> None:
        """Counts an accepted report.

        Args:
            loss: of the report; infinite if it is not to be compared.
            units: of the resource since the trial's last one.
            cost: since the trial's last one.
        """
        self.evaluations += 1
        self.resource += max(units, 0)
        self.cost += cost
        if math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss):
            self.best_loss = loss

    def ended(self, state: TrialState) -> None:
        """Counts a trial that has finished."""
        self.finished += 1
        self.completed += state is TrialState.COMPLETED
        self.failed += state is TrialState.FAILED
        self._best_losses.append(math.inf if self.best_loss is None else self.best_loss)

    def status(self, elapsed: float, mode: str, trials: Sequence[Trial]) -> Status:
        """The state of affairs, for a budget."""
        return Status(
            started=self.started,
            finished=self.finished,
            completed=self.completed,
            failed=self.failed,
            evaluations=self.evaluations,
            resource=self.resource,
            elapsed=elapsed,
            cost=self.cost,
            best_loss=self.best_loss,
            best_losses=self._best_losses,
            mode=mode,
            trials=trials,
        )
