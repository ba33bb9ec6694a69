"""A search over an objective as its displays read it: each trial's value, curve, rank and parameters, once.

Rule 1: everything is copied out of the trials here. Those of a running search change under our hands; what
was read does not.
Rule 2: a trial counts by its last finite report, as in `TuneResult.best()`; late reports count nowhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.report.adaptive import RungFacts, spread_levels
from prefect_tune.report.parameters import MISSING
from prefect_tune.report.text import plain, value_text
from prefect_tune.trials import TrialState, order_of
from prefect_tune.tuning.frames import config_columns
from prefect_tune.tuning.result import NoResult, TuneResult
from prefect_tune.tuning.trial import Trial

_SHOWN_RUNGS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """One trial at the time of reading.

    Attributes:
        index, key, state, seconds, error, trace: as the trial has them.
        resource: trained so far.
        value: its last finite value of the search's metric; nan without one.
        levels, values: resource and metric of each report with a finite value, by resource.
        metrics: of its last report.
        params: path -> value of its configuration.
    """

    index: int
    key: str
    state: TrialState
    seconds: float
    error: str
    trace: str
    resource: int
    value: float
    levels: tuple[int, ...]
    values: tuple[float, ...]
    metrics: Mapping[str, float]
    params: Mapping[str, Any]

    @property
    def scored(self) -> bool:
        """Whether it has a value."""
        return not math.isnan(self.value)

    @property
    def failed(self) -> bool:
        """Whether it has failed."""
        return self.state is TrialState.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneFacts:
    """A search over an objective at the time of reading.

    Attributes:
        result: that was read.
        trials: by index.
        order: places in `trials`, best first: the schedule's own answer, then other trials with a value, then
            failed ones, then those without a value.
        ranked: how many of `order` have a rank: a value, and no failure.
        best: place of the best trial, as `TuneResult.best()` says; None without a value.
        columns: parameter -> its value in each trial, MISSING where it has none; as declared.
        varied: names of the columns that are not the same for all trials.
        others: names of the metrics besides the search's own.
        levels: resources at which trials were compared, at most eight of them.
    """

    result: TuneResult
    trials: tuple[TrialFacts, ...]
    order: tuple[int, ...]
    ranked: int
    best: int | None
    columns: Mapping[str, Sequence[Any]]
    varied: tuple[str, ...]
    others: tuple[str, ...]
    levels: tuple[int, ...]

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.result.metric or "metric"

    @property
    def minimised(self) -> bool:
        """Whether small values are good."""
        return self.result.mode == "min"

    @property
    def unit(self) -> str:
        """What a unit of the resource is called."""
        return "fold" if self.result.whole else "unit"

    @property
    def staged(self) -> bool:
        """Whether trials report on their way."""
        return self.levels not in ((), (1,)) or any(len(trial.levels) > 1 for trial in self.trials)

    @property
    def best_params(self) -> dict[str, Any]:
        """Of the best trial, those that vary in the search; all, where none does."""
        if self.best is None:
            return {}
        params = self.trials[self.best].params
        return {name: params[name] for name in params if name in self.varied} or dict(params)

    def counts(self, trial: TrialFacts) -> bool:
        """Whether the trial may be the best: it has a value and, in a cross-validation, all folds."""
        return trial.scored and (not self.result.whole or trial.resource >= (self.result.max_resource or 0))

    def count(self, state: TrialState) -> int:
        """Trials in this state."""
        return sum(trial.state is state for trial in self.trials)

    def stage(self, trial: TrialFacts) -> int:
        """How many of the levels the trial has come to."""
        return sum(level <= trial.resource for level in self.levels)


def tune_facts(result: TuneResult) -> TuneFacts:
    """What the displays of `result` show."""
    trials = tuple(_trial(trial, result.metric) for trial in result.trials)
    order, ranked = _order(result, trials)
    columns, best = _columns(trials), _best(result)
    return TuneFacts(
        result=result,
        trials=trials,
        order=order,
        ranked=ranked,
        best=best if best is not None and trials[best].scored else None,
        columns=columns,
        varied=tuple(name for name, values in columns.items() if len(set(map(token, values))) > 1),
        others=tuple(dict.fromkeys(n for trial in trials for n in trial.metrics if n != result.metric)),
        levels=tuple(spread_levels(result.levels, _SHOWN_RUNGS)),
    )


def rung_facts(facts: TuneFacts) -> list[RungFacts]:
    """Who came to each level, and how they did there: at the level, or at the next report after it."""
    better = min if facts.minimised else max
    found = []
    for level in facts.levels:
        values = []
        for trial in facts.trials:
            at = next((i for i, reached in enumerate(trial.levels) if reached >= level), None)
            values += [trial.values[at]] if at is not None else []
        found.append(
            RungFacts(
                level=level,
                size=len(values),
                best=better(values, default=None),
                median=statistics.median(values) if values else None,
            )
        )
    return found


def _trial(trial: Trial, metric: str | None) -> TrialFacts:
    reports = trial.accepted
    scored = [
        (report.resource, float(report.metrics[metric]))
        for report in reports
        if metric in report.metrics and math.isfinite(report.metrics[metric])
    ]
    return TrialFacts(
        index=trial.index,
        key=trial.key,
        state=trial.state,
        seconds=trial.seconds,
        error=trial.error or "",
        trace=trial.trace,
        resource=trial.resource,
        value=scored[-1][1] if scored else math.nan,
        levels=tuple(level for level, _ in scored),
        values=tuple(value for _, value in scored),
        metrics=reports[-1].metrics if reports else {},
        params={name: plain(value) for name, value in config_columns(trial.config).items()},
    )


def _order(result: TuneResult, trials: Sequence[TrialFacts]) -> tuple[tuple[int, ...], int]:
    """Places of the trials, best first, and how many have a rank."""
    sign = 1 if result.mode == "min" else -1
    good = {trial.index: place for place, trial in enumerate(trials) if trial.scored and not trial.failed}
    ranked = [good.pop(index) for index in result.ranking if index in good]
    ranked += sorted(
        good.values(),
        key=lambda place: (-trials[place].resource, order_of(sign * trials[place].value, trials[place].key)),
    )
    rest = [place for place, trial in enumerate(trials) if trial.failed or not trial.scored]
    return (*ranked, *sorted(rest, key=lambda place: not trials[place].failed)), len(ranked)


def _best(result: TuneResult) -> int | None:
    """Place of the best trial."""
    try:
        index = result.best().trial.index
    except (NoResult, UserError):  # nothing was reported
        return None
    return next(place for place, trial in enumerate(result.trials) if trial.index == index)


def _columns(trials: Sequence[TrialFacts]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return {name: [trial.params.get(name, MISSING) for trial in trials] for name in names}


def token(value: Any) -> tuple[str, Any]:
    """What tells values apart: 1, True and '1' are three."""
    if isinstance(value, str | int) or value is None or value is MISSING:
        return type(value).__name__, value
    if isinstance(value, float):
        return "float", value if value == value else "nan"  # one nan is not another
    return type(value).__name__, value_text(value, 200)
