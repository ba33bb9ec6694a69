"""What a sampler is shown of the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect_tune.trials import Config, TrialRecord, TrialState
from prefect_tune.tuning.trial import Trial


def records_of(
    trials: Sequence[Trial], machine: Any, evaluated: Sequence[tuple[Config, float, int]] = ()
) -> list[TrialRecord]:
    """One record per trial, by rising index; what was evaluated elsewhere comes first, with negative ones.

    Args:
        machine: the schedule's state, which says what may be seen.
        evaluated: (configuration, loss, resource).
    """
    before = [
        TrialRecord(
            index=place - len(evaluated),
            config=config,
            state=TrialState.COMPLETED,
            losses={resource: loss},
            final=loss,
        )
        for place, (config, loss, resource) in enumerate(evaluated)
    ]
    return before + [_record(trial, machine) for trial in trials]


def _record(trial: Trial, machine: Any) -> TrialRecord:
    losses = machine.losses(trial.index)
    completed = trial.state is TrialState.COMPLETED
    return TrialRecord(
        index=trial.index,
        config=trial.config,
        state=trial.state,
        losses=losses,
        pending=machine.pending(trial.index),
        final=losses[max(losses)] if completed and losses else None,
    )
