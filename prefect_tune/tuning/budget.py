"""Budgets: when a search stops.

Rule 1: reached means at least, so N means exactly N. A budget is of the whole search, restarts included;
raising it and going on continues the same search.
Rule 2: any criterion that is met stops the search; of several the first in the order of `ORDER` is the
reason. `n_trials` is none of these: it only limits starts, and what runs goes on by the schedule's rules.
Rule 3: `cancel` stops running trials at their last report. `drain` starts and promotes nobody, and lets
running jobs come to the schedule's next decision. Where both are asked for at once, cancel wins.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from numbers import Real

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.plateau import SearchPlateau
from prefect_tune.schedules.exact import whole
from prefect_tune.trials import TrialState
from prefect_tune.tuning.trial import Trial

CANCEL, DRAIN = "cancel", "drain"
# The criteria in the order in which they give the reason, and what each does to running trials by default.
ORDER = {
    "max_trials_finished": DRAIN,
    "max_trials_completed": DRAIN,
    "max_evaluations": CANCEL,
    "max_resource": CANCEL,
    "max_time": CANCEL,
    "max_cost": CANCEL,
    "metric_threshold": CANCEL,
    "max_failures_total": CANCEL,
    "plateau": DRAIN,
    "stop": CANCEL,
}
_COUNTS = (
    "n_trials",
    "max_trials_finished",
    "max_trials_completed",
    "max_evaluations",
    "max_resource",
    "max_failures_total",
)
_AMOUNTS = {"max_time": "seconds", "max_cost": "units of the cost that the objective reports"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a search has used so far.

    Attributes:
        started: distinct configurations started, failures included; retries, promotions and copies are not.
        finished: trials that were stopped, completed or have failed; paused ones have not finished.
        completed: trials that reached the maximum or their own end.
        failed: trials that have failed.
        evaluations: accepted reports; duplicates and late ones are not.
        resource: trained by all trials; units trained again after a crash count once.
        elapsed: seconds that the search was active, restarts added up.
        cost: summed over the attempts of all trials.
        best_loss: the smallest finite loss accepted so far, None without one.
        best_losses: the best loss so far after each finished trial, in the order in which they finished.
        mode: of the metric, `min` or `max`.
        trials: all of them, for a criterion of the user's own.
    """

    started: int = 0
    finished: int = 0
    completed: int = 0
    failed: int = 0
    evaluations: int = 0
    resource: int = 0
    elapsed: float = 0.0
    cost: float = 0.0
    best_loss: float | None = None
    best_losses: Sequence[float] = ()
    mode: str = "min"
    trials: Sequence[Trial] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        *,
        elapsed: float = 0.0,
        evaluations: int | None = None,
        mode: str = "min",
        order: Sequence[int] = (),
    ) -> Status:
        """The status that follows from the trials, counted anew.

        Args:
            trials: all of them, by index.
            elapsed: seconds that the search was active.
            evaluations: accepted reports, counted from the trials if not given.
            mode: of the metric.
            order: indices of the finished trials in the order in which they finished; by index if not given.
        """
        begun = [trial for trial in trials if trial.state is not TrialState.PENDING]
        states = Counter(trial.state for trial in begun)
        losses = {trial.index: trial.best_loss for trial in begun}
        finished = list(order) or [trial.index for trial in begun if trial.state.finished]
        ends = [math.inf if (loss := losses[index]) is None else loss for index in finished]
        return cls(
            started=sum(trial.parent is None for trial in begun),
            finished=sum(many for state, many in states.items() if state.finished),
            completed=states[TrialState.COMPLETED],
            failed=states[TrialState.FAILED],
            evaluations=sum(trial.evaluations for trial in begun) if evaluations is None else evaluations,
            resource=sum(trial.resource - trial.inherited for trial in begun),
            elapsed=elapsed,
            cost=math.fsum(trial.cost for trial in begun),
            best_loss=min((loss for loss in losses.values() if loss is not None), default=None),
            best_losses=tuple(accumulate(ends, min)),
            mode=mode,
            trials=tuple(trials),
        )


@dataclass(frozen=True, slots=True)
class Reached:
    """Why the search stops.

    Attributes:
        reason: the criterion, by its name in `Budget`.
        on_stop: `cancel` or `drain`.
        text: the reason in words.
    """

    reason: str
    on_stop: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Criteria, each None if it does not matter.

    Attributes:
        n_trials: configurations that are started; the search goes on until they are done.
        max_trials_finished: trials stopped, completed or failed.
        max_trials_completed: trials that reached the maximum or their own end.
        max_evaluations: reports accepted.
        max_resource: units of the resource trained by all trials together.
        max_time: seconds of activity, or a timedelta.
        max_cost: what trials may cost together.
        metric_threshold: a value of the metric that is good enough.
        max_failures_total: trials that have failed.
        plateau: True, or the settings of a plateau of the best loss.
        stop: called with the `Status`; true stops.
        on_stop: `cancel` or `drain` for every criterion, instead of each one's own.
    """

    n_trials: int | None = None
    max_trials_finished: int | None = None
    max_trials_completed: int | None = None
    max_evaluations: int | None = None
    max_resource: int | None = None
    max_time: float | timedelta | None = None
    max_cost: float | None = None
    metric_threshold: float | None = None
    max_failures_total: int | None = None
    plateau: SearchPlateau | bool | None = None
    stop: Callable[[Status], bool] | None = None
    on_stop: str | None = None

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if (value := getattr(self, name)) is not None:
                self._set(name, whole(name, value, least=1, advice="leave it out for no limit"))
        for name, unit in _AMOUNTS.items():
            if (value := getattr(self, name)) is not None:
                self._set(name, _amount(name, value, unit))
        if self.metric_threshold is not None:
            self._set("metric_threshold", _finite("metric_threshold", self.metric_threshold))
        if isinstance(self.plateau, bool):
            self._set("plateau", SearchPlateau() if self.plateau else None)
        elif self.plateau is not None and not isinstance(self.plateau, SearchPlateau):
            rule = "must be True or a SearchPlateau"
            raise ScheduleError("plateau", rule, self.plateau, "True looks back over 10 finished trials")
        if self.stop is not None and not callable(self.stop):
            raise ScheduleError("stop", "must be callable", self.stop, "give a function of the status")
        if self.on_stop not in (None, CANCEL, DRAIN):
            rule = "must be 'cancel', 'drain' or None"
            raise ScheduleError("on_stop", rule, self.on_stop, "None takes each criterion's own")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def bounded(self) -> bool:
        """Whether any criterion is set."""
        return self.n_trials is not None or self.watches

    def may_start(self, status: Status) -> bool:
        """Whether another configuration may be started, as far as `n_trials` goes.

        >>> Budget(n_trials=2).may_start(Status(started=1)), Budget(n_trials=2).may_start(Status(started=2))
        (True, False)
        """
        return self.n_trials is None or status.started < self.n_trials

    @property
    def watches(self) -> bool:
        """Whether any criterion but `n_trials` is set, so that `reached` can ever say something."""
        return any(getattr(self, name) is not None for name in ORDER)

    def reached(self, status: Status) -> Reached | None:
        """Why the search stops now, or None.

        >>> Budget(max_evaluations=9, max_time=60).reached(Status(evaluations=9, elapsed=61)).reason
        'max_evaluations'
        """
        met = [name for name in ORDER if self._met(name, status)]
        if not met:
            return None
        cancel = CANCEL in [self.on_stop or ORDER[name] for name in met]
        return Reached(met[0], CANCEL if cancel else DRAIN, self._words(met[0]))

    def _met(self, name: str, status: Status) -> bool:
        """Whether one criterion is met."""
        limit = getattr(self, name)
        if limit is None:
            return False
        if name == "metric_threshold":
            enough = limit if status.mode == "min" else -limit
            return status.best_loss is not None and status.best_loss <= enough
        if name == "plateau":
            return limit.reached(status.best_losses)
        if name == "stop":
            return bool(limit(status))
        return getattr(status, _USED[name]) >= limit

    def _words(self, name: str) -> str:
        value = getattr(self, name)
        if name == "plateau":
            return f"the best loss has not moved over the last {value.top} finished trials"
        if name == "stop":
            return f"{getattr(value, '__name__', 'the given function')}() says so"
        return f"{name}={value:g} is reached" if isinstance(value, float) else f"{name}={value} is reached"


_USED = {
    "max_trials_finished": "finished",
    "max_trials_completed": "completed",
    "max_evaluations": "evaluations",
    "max_resource": "resource",
    "max_time": "elapsed",
    "max_cost": "cost",
    "max_failures_total": "failed",
}


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ScheduleError(name, "must be a finite number", value, "leave it out for no limit")
    return float(value)


def _amount(name: str, value: object, unit: str) -> float:
    """The limit as a float above 0."""
    number = _finite(name, value.total_seconds() if isinstance(value, timedelta) else value)
    if number <= 0:
        raise ScheduleError(name, f"must be above 0 ({unit})", value, "leave it out for no limit")
    return number
