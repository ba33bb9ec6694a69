"""What a sampler is shown of the trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import chain
from typing import Any, overload

from prefect_tune.trials import Config, TrialRecord, TrialState, config_key
from prefect_tune.tuning.trial import Trial

_PIECE = 512  # records that are copied together when one of them changes


class Records(Sequence[TrialRecord]):
    """One record per trial, by rising index; what was evaluated elsewhere comes first, with negative ones.

    Args:
        pieces: lists of `_PIECE` records, the last one shorter, that nobody changes any more.
        keys: of all configurations, of trials that have begun since, too.
    """

    def __init__(self, pieces: tuple[list[TrialRecord], ...], keys: Set[str]) -> None:
        self._pieces, self.keys = pieces, keys

    def __len__(self) -> int:
        return _PIECE * (len(self._pieces) - 1) + len(self._pieces[-1]) if self._pieces else 0

    def __iter__(self) -> Iterator[TrialRecord]:
        return chain.from_iterable(self._pieces)

    @overload
    def __getitem__(self, place: int) -> TrialRecord: ...

    @overload
    def __getitem__(self, place: slice) -> list[TrialRecord]: ...

    def __getitem__(self, place: int | slice) -> TrialRecord | list[TrialRecord]:
        if isinstance(place, slice):
            return list(self)[place]
        place = range(len(self))[place]
        return self._pieces[place // _PIECE][place % _PIECE]


class Evidence:
    """The records as the search goes on. Only those of trials that have changed are made anew.

    Args:
        evaluated: (configuration, loss, resource) of what is known without running.

    Attributes:
        changed: trials whose records are out of date.
    """

    def __init__(self, evaluated: Sequence[tuple[Config, float, int]] = ()) -> None:
        before = records_of((), None, evaluated)
        self._before = len(before)
        self._pieces = [before[at : at + _PIECE] for at in range(0, len(before), _PIECE)]
        self._own: set[int] = set()  # pieces made since the last were lent; others are copied before a change
        self._keys = {config_key(record.config) for record in before}
        self.changed: set[int] = set()

    def enter(self, trial: Trial) -> None:
        """Takes in a new trial."""
        self._keys.add(trial.key)
        self.changed.add(trial.index)

    def records(self, trials: Sequence[Trial], machine: Any) -> Records:
        """The records of all trials now; later changes leave them as they are."""
        for index in sorted(self.changed):
            self._put(self._before + index, _record(trials[index], machine))
        self.changed.clear()
        self._own.clear()
        return Records(tuple(self._pieces), self._keys)

    def _put(self, place: int, record: TrialRecord) -> None:
        number, at = divmod(place, _PIECE)
        if number == len(self._pieces):
            self._pieces.append([])
        elif number not in self._own:
            self._pieces[number] = self._pieces[number].copy()
        self._own.add(number)
        self._pieces[number][at : at + 1] = [record]


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
