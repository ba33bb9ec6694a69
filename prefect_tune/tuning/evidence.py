"""What a sampler is shown of the trials."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from prefect_tune.trials import Config, TrialRecord, TrialState, config_key
from prefect_tune.tuning.trial import Trial


class Records(list[TrialRecord]):
    """One record per trial, by rising index; what was evaluated elsewhere comes first, with negative ones.

    Attributes:
        keys: of all configurations, of trials that have begun since, too.
    """

    keys: Set[str] = frozenset()


class Evidence:
    """The records as the search goes on. Only those of trials that have changed are made anew.

    Args:
        evaluated: (configuration, loss, resource) of what is known without running.

    Attributes:
        changed: trials whose records are out of date.
    """

    def __init__(self, evaluated: Sequence[tuple[Config, float, int]] = ()) -> None:
        self._records = records_of((), None, evaluated)
        self._before = len(self._records)
        self._keys = {config_key(record.config) for record in self._records}
        self.changed: set[int] = set()

    def enter(self, trial: Trial) -> None:
        """Takes in a new trial."""
        self._keys.add(trial.key)
        self.changed.add(trial.index)

    def records(self, trials: Sequence[Trial], machine: Any) -> Records:
        """The records of all trials now; later changes leave them as they are."""
        self._records += [_NONE] * (self._before + len(trials) - len(self._records))
        for index in self.changed:
            self._records[self._before + index] = _record(trials[index], machine)
        self.changed.clear()
        found = Records(self._records)
        found.keys = self._keys
        return found


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


_NONE: Any = None  # stands where a record is about to be
