"""Our records as an Optuna study in memory, and a question put to it.

Rule 1: trials enter by rising index, whatever the order in which their results came.
Rule 2: a trial that has a loss at a level is evidence, also while it runs; one that has none is under way.

    ours                                      Optuna's
    COMPLETED                                 COMPLETE, value = final loss
    STOPPED, PAUSED, RUNNING with a loss      PRUNED, the losses by level
    RUNNING, PENDING without                  RUNNING
    STOPPED, PAUSED without; FAILED           FAIL
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from prefect_tune.samplers.contract import Question
from prefect_tune.samplers.distinct import frozen
from prefect_tune.samplers.quiet import quiet_log
from prefect_tune.samplers.twins import Twin
from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config, TrialRecord, TrialState, generator

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial

_NAME = "prefect-tune"
_LONG_AGO = datetime(2000, 1, 1)
_KEPT = 4096
_VALUES: dict[tuple[int, bytes], tuple[SearchSpace, dict[str, Any]]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One trial of the study.

    Attributes:
        index: our trial's.
        state: Optuna's name for it.
        params: Optuna's parameters of the active leaves.
        losses: by level.
        value: of a COMPLETE trial.
    """

    index: int
    state: str
    params: Mapping[str, Any]
    losses: Mapping[int, float]
    value: float | None = None

    @property
    def closed(self) -> bool:
        """Whether Optuna takes it for finished."""
        return self.state != "RUNNING"


def rows_of(space: SearchSpace, twins: Sequence[Twin], records: Iterable[TrialRecord]) -> list[Row]:
    """The study's trials, in the order of the records."""
    return [row_of(record, params_of(space, twins, record.config)) for record in records]


def row_of(record: TrialRecord, params: Mapping[str, Any]) -> Row:
    """The study's trial for one of ours, by the table above."""
    losses = {level: loss for level, loss in sorted(record.losses.items()) if math.isfinite(loss)}
    final = record.final
    if record.state is TrialState.COMPLETED and final is not None and math.isfinite(final):
        return Row(record.index, "COMPLETE", params, losses, final)
    if record.state is TrialState.FAILED:
        return Row(record.index, "FAIL", params, losses)
    if losses:
        return Row(record.index, "PRUNED", params, losses)
    under_way = record.state in (TrialState.RUNNING, TrialState.PENDING)
    return Row(record.index, "RUNNING" if under_way else "FAIL", params, losses)


def params_of(space: SearchSpace, twins: Sequence[Twin], config: Config) -> dict[str, Any]:
    """Optuna's parameters of a configuration, remembered by its bytes."""
    name = frozen(config)
    entry = None if name is None else _VALUES.get((id(space), name))
    if entry is not None and entry[0] is space:
        return entry[1]
    values = space.values(config)
    params = {twin.path: twin.into(values[twin.path]) for twin in twins if twin.path in values}
    if name is not None:
        if len(_VALUES) >= _KEPT:
            _VALUES.clear()
        _VALUES[id(space), name] = space, params  # the space is kept, so that its id stays its own
    return params


@dataclass(frozen=True, slots=True)
class Book:
    """A study in memory, and what it is kept in.

    Attributes:
        study: Optuna's.
        storage: that holds its trials.
        number: of the study in the storage.
    """

    study: Study
    storage: InMemoryStorage
    number: int


def book_of(rows: Iterable[Row], twins: Sequence[Twin], sampler: BaseSampler) -> Book:
    """A fresh study with these trials."""
    book = new_book(sampler)
    distributions = {twin.path: twin.distribution for twin in twins}
    for row in rows:
        book.study.add_trial(template(row, distributions))
    return book


def new_book(sampler: BaseSampler) -> Book:
    """A study without trials that minimises."""
    from optuna import load_study
    from optuna.storages import InMemoryStorage
    from optuna.study import StudyDirection

    storage = InMemoryStorage()
    with quiet_log():
        number = storage.create_new_study([StudyDirection.MINIMIZE], _NAME)
    return Book(load_study(study_name=_NAME, storage=storage, sampler=sampler), storage, number)


def template(
    row: Row, distributions: Mapping[str, Any], marks: Mapping[str, Any] | None = None
) -> FrozenTrial:
    """The row as a trial that a study can take in; `marks` are what a sampler has noted on it."""
    from optuna.trial import TrialState as OptunaState

    kind = _shared_trial()
    return kind(
        number=row.index,
        trial_id=row.index,
        state=OptunaState[row.state],
        value=row.value,
        datetime_start=_LONG_AGO,
        datetime_complete=_LONG_AGO if row.closed else None,
        params=dict(row.params),
        distributions={path: distributions[path] for path in row.params},
        user_attrs={},
        system_attrs=dict(marks or {}),
        intermediate_values=dict(row.losses),
    )


@cache
def _shared_trial() -> type[FrozenTrial]:
    """Optuna's trial, whose deep copy does not copy what nobody can change.

    A study copies every trial that it takes in. Values are numbers and distributions are never changed, so
    copies of the dicts are enough: 500 trials in 10 ms instead of 100.
    """
    from optuna.trial import FrozenTrial

    class SharedTrial(FrozenTrial):
        def __deepcopy__(self, memo: dict[int, Any]) -> SharedTrial:
            twin = copy.copy(self)
            for name, value in vars(twin).items():
                if isinstance(value, dict):
                    setattr(twin, name, dict(value))
            return twin

    return SharedTrial


def ask(study: Study, question: Question, twins: Sequence[Twin], attempt: int) -> Config:
    """The configuration that the study's sampler proposes next; leaves without a twin are drawn."""
    space, values = question.space, question.space.grid_point(question.index)
    known = {twin.path: twin for twin in twins}
    with quiet_log():
        # A sampler that knows all parameters at once can draw them jointly from the first suggestion on.
        whole = {} if space.conditional else {twin.path: twin.distribution for twin in twins}
        trial = study.ask(whole)
        for leaf in space.leaves:  # a choice comes before what hangs on it
            if leaf.path in values or not leaf.active(values):
                continue
            if leaf.path in known:
                twin = known[leaf.path]
                values[leaf.path] = twin.back(_suggested(trial, twin))
            else:
                draws = generator(question.seed, "config", question.index, leaf.path, attempt)
                values[leaf.path] = leaf.domain.value(draws.random())
    return space.assemble(values)


def _suggested(trial: Any, twin: Twin) -> Any:
    """The value that Optuna suggests for one leaf."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    kind: Any = twin.distribution
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(twin.path, kind.choices)
    suggest = trial.suggest_int if isinstance(kind, IntDistribution) else trial.suggest_float
    return suggest(twin.path, kind.low, kind.high, step=kind.step, log=kind.log)
