"""What a search over an objective would do from here on, without doing it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.trials import Config
from prefect_tune.tuning.settings import TuneSettings
from prefect_tune.tuning.tuner import Tuner


@dataclass(frozen=True, slots=True, kw_only=True)
class TunePlan:
    """A dry run.

    Attributes:
        name: of the search.
        trials: state -> how many trials the journal has.
        to_start: configurations still to be started; None if no budget counts them.
        levels: resources at which trials are compared, rising; the last is the maximum.
        units_trained: of the resource, so far.
        units_expected: still to be trained, if so many pass each rung as its share says; None where a trial
            has no maximum.
        units_at_most: still to be trained if every new trial went to the maximum.
        seconds_per_unit: measured so far, None before anything was trained.
        stopped_by: the criterion that has stopped the search, empty if it may go on.
        next: the next configurations, as far as they do not depend on results; at most five.
        schedule, sampler: their settings.
    """

    name: str
    trials: Mapping[str, int] = field(default_factory=dict)
    to_start: int | None = None
    levels: tuple[int, ...] = ()
    units_trained: int = 0
    units_expected: int | None = None
    units_at_most: int | None = None
    seconds_per_unit: float | None = None
    stopped_by: str = ""
    next: Sequence[Config] = ()
    schedule: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)


def plan_of(tuner: Tuner, elapsed: float = 0.0) -> TunePlan:
    """The plan of a search that stands where its journal ends.

    Args:
        tuner: replayed; it is not changed but for suggestions.
        elapsed: seconds that the search has been active.
    """
    settings = tuner.settings
    reached = settings.budget.reached(tuner.usage.status(elapsed, settings.mode, tuner.trials))
    limit = settings.budget.n_trials
    to_start = None if limit is None else max(limit - tuner.usage.started, 0)
    if reached is not None or tuner.exhausted:
        to_start = 0
    trained = sum(trial.trained for trial in tuner.trials)
    seconds = sum(trial.seconds for trial in tuner.trials)
    maximum = getattr(settings.schedule, "max_resource", None)
    bounded = to_start is not None and maximum is not None
    return TunePlan(
        name=settings.name,
        trials=dict(sorted(Counter(str(trial.state) for trial in tuner.trials).items())),
        to_start=to_start,
        levels=settings.schedule.levels if maximum is not None else (),
        units_trained=trained,
        units_expected=expected_units(settings, to_start or 0) if bounded else None,
        units_at_most=(to_start or 0) * (maximum or 0) if bounded else None,
        seconds_per_unit=seconds / trained if trained else None,
        stopped_by=reached.reason if reached is not None else "",
        next=_upcoming(tuner, to_start),
        schedule=dict(settings.schedule.identity()),
        sampler=dict(settings.sampler.identity()),
    )


def expected_units(settings: TuneSettings, trials: int) -> int:
    """Units that so many new trials take, if each rung passes on the share L_j / L_{j+1} of its trials.

    >>> from types import SimpleNamespace
    >>> expected_units(SimpleNamespace(schedule=SimpleNamespace(levels=(1, 3, 9), eta=3)), 9)
    21
    """
    schedule: Any = settings.schedule
    levels, left, before, total = schedule.levels, Fraction(trials), 0, Fraction(0)
    halves = hasattr(schedule, "eta")
    for level, after in zip(levels, (*levels[1:], None), strict=True):
        total += left * (level - before)
        if halves and after is not None:
            left *= Fraction(level, after)
        before = level
    return round(total)


def _upcoming(tuner: Tuner, to_start: int | None) -> list[Config]:
    """Points to evaluate that have not begun, then draws of a sampler that learns nothing."""
    settings = tuner.settings
    begun = len(tuner.trials)
    room = 5 if to_start is None else min(5, to_start)
    found: list[Config] = list(settings.points[begun : begun + room])
    question = tuner.question(ahead=True)
    if settings.sampler.startup or question is None:
        return found
    for index in range(begun + len(found), begun + room):
        config = settings.sampler.suggest(dataclasses.replace(question, index=index))
        if isinstance(config, NoSuggestion):
            break
        found.append(config)
    return found
