"""The history of a search told again to an Optuna sampler that keeps marks on trials or in itself.

CMA-ES, NSGA-II and quasi-random sequences of Optuna note on every trial what they were doing when they
proposed it. Our records have no such marks, so they are made again: the sampler is asked for each earlier
trial in turn, its answer is replaced by the configuration that the trial has, and the result is told.

Rule 1: before step i every random generator inside the sampler is seeded for trial i.
Rule 2: a step sees the trials of lower index as they are now, so the whole is a function of the records.
Rule 3: where a finished beginning of the history has led to is remembered; that only saves time.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.samplers.quiet import quiet_log
from prefect_tune.samplers.study import Book, Row, new_book, template
from prefect_tune.samplers.twins import Twin

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a history stands after its first rows.

    Attributes:
        sampler: as these rows have left it; never used itself, only copies of it.
        rows: told so far.
        marks: what the sampler has noted on each of these trials.
        notes: what it has noted on the study.
    """

    sampler: BaseSampler
    rows: tuple[Row, ...] = ()
    marks: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[tuple[str, Any], ...] = ()

    def begins(self, rows: Sequence[Row]) -> bool:
        """Whether these rows start with all of its own."""
        return tuple(rows[: len(self.rows)]) == self.rows


_KNOWN: WeakKeyDictionary[object, tuple[object, Beginning]] = WeakKeyDictionary()


def told(owner: object, seed: int, rows: Sequence[Row], twins: Sequence[Twin], sampler: BaseSampler) -> Book:
    """A study that a copy of the sampler has gone through.

    Args:
        owner: the settings object, under which the beginning of the history is remembered.
        seed: of the search.
        rows: the history.
        twins: of the leaves that a model may see.
        sampler: to copy.
    """
    key = seed, tuple((twin.path, twin.distribution) for twin in twins)
    known = _KNOWN.get(owner)
    beginning = known[1] if known is not None and known[0] == key and known[1].begins(rows) else None
    book, beginning = replayed(rows, twins, seed, beginning or Beginning(sampler))
    _KNOWN[owner] = key, beginning
    return book


def replayed(
    rows: Sequence[Row], twins: Sequence[Twin], seed: int, beginning: Beginning
) -> tuple[Book, Beginning]:
    """A study that a copy of the sampler has gone through, and the beginning to start from next time."""
    distributions = {twin.path: twin.distribution for twin in twins}
    with quiet_log():
        book = _reopened(beginning, distributions)
        finished = sum(1 for _ in takewhile(lambda row: row.closed, rows))
        for position in range(len(beginning.rows), len(rows)):
            if position == finished:
                beginning = _so_far(book, rows[:position])
            _retell(book, rows[position], distributions, seed)
        if finished == len(rows) > len(beginning.rows):
            beginning = _so_far(book, rows)
    return book, beginning


def _reopened(beginning: Beginning, distributions: Mapping[str, Any]) -> Book:
    """A study as the beginning has left it."""
    book = new_book(copy.deepcopy(beginning.sampler))
    for row, marks in zip(beginning.rows, beginning.marks, strict=True):
        book.study.add_trial(template(row, distributions, marks))
    for name, value in beginning.notes:
        book.storage.set_study_system_attr(book.number, name, value)
    return book


def _so_far(book: Book, rows: Sequence[Row]) -> Beginning:
    """Where the history stands now."""
    trials = book.storage.get_all_trials(book.number, deepcopy=False)
    return Beginning(
        copy.deepcopy(book.study.sampler),
        tuple(rows),
        tuple(dict(trial.system_attrs) for trial in trials),
        tuple(book.storage.get_study_system_attrs(book.number).items()),
    )


def _retell(book: Book, row: Row, distributions: Mapping[str, Any], seed: int) -> None:
    """Asks the sampler for this trial, gives the trial its own configuration, and tells the result."""
    from optuna.trial import TrialState as OptunaState

    study, storage, sampler = book.study, book.storage, book.study.sampler
    reseed(sampler, derive_seed(seed, "suggest", row.index, 0))
    trial = study.ask()
    trial.relative_params  # noqa: B018 - to ask is what makes the marks; the answer is replaced
    name = storage.get_trial_id_from_study_id_trial_number(book.number, trial.number)
    for path, value in row.params.items():
        kind = distributions[path]
        storage.set_trial_param(name, path, kind.to_internal_repr(value), kind)
    for level, loss in row.losses.items():
        storage.set_trial_intermediate_value(name, level, loss)
    if row.closed:
        state, values = OptunaState[row.state], None if row.value is None else [row.value]
        sampler.after_trial(study, storage.get_trial(name), state, values)
        storage.set_trial_state_values(name, state, values)


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Seeds every random generator in the sampler, in the samplers inside it and in their helpers."""
    for path, found in _generators(sampler, "", set()):
        number = low32(derive_seed(seed, path))
        if isinstance(found, np.random.Generator):
            found.bit_generator.state = type(found.bit_generator)(number).state
        else:
            found.seed(number)


def _generators(owner: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every random generator reachable through the attributes of samplers and of Optuna's own objects."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    lazy = getattr(owner, "rng", None)  # Optuna makes its generator at the first use
    if isinstance(lazy, np.random.RandomState):
        yield path, lazy
        return
    for name, value in sorted(getattr(owner, "__dict__", {}).items()):
        place = f"{path}/{name}"
        if isinstance(value, (np.random.RandomState, np.random.Generator, random.Random)):
            yield place, value
        elif type(value).__module__.partition(".")[0] in ("optuna", type(owner).__module__.partition(".")[0]):
            yield from _generators(value, place, seen)
