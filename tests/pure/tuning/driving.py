"""A driver without processes: jobs end in an order that a seed decides, and what they report is a formula."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from prefect_tune.samplers.draw import Random
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.space import SearchSpace, uniform
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.events import Codec, Event
from prefect_tune.tuning.jobs import JobOutcome, Reported, TrialJob
from prefect_tune.tuning.settings import TuneSettings
from prefect_tune.tuning.tuner import Tuner

SPACE = SearchSpace({"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)})
R = 27

Curve = Callable[[Any, int], float]


def curve(config: Any, resource: int) -> float:
    """Losses that fall with the resource and cross: `x` decides early, `y` late."""
    return config["x"] / resource + config["y"] * (1 - 1 / resource)


def settings(**changes: Any) -> TuneSettings:
    """A search of 40 trials by ASHA, but for the changes."""
    asked: dict[str, Any] = {
        "name": "driven",
        "objective": b"o" * 32,
        "space": SPACE,
        "sampler": Random(),
        "schedule": ASHA(R),
        "budget": Budget(n_trials=40),
        "max_concurrent": 4,
        "seed": 3,
    }
    return TuneSettings(**asked | changes)


def answer(job: TrialJob, losses: Curve = curve, most: int = R) -> JobOutcome:
    """What a worker would say of the job: a report per unit, a state at its end."""
    stop = most if job.until is None else min(job.until, most)
    units = range(job.since + 1, stop + 1)
    return JobOutcome(
        job=job.number,
        trial=job.trial,
        reports=[Reported(r, {"loss": losses(job.config, r)}, float(r)) for r in units],
        ended=stop == most,
        states={stop: 8},
        trained=len(units),
    )


class Driver:
    """Runs a tuner until it is over, or until so many events are in the log.

    Attributes:
        log: every event, as the journal holds it, in JSON form.
        jobs: every job that was given out.
        most: jobs that were out at once.
    """

    def __init__(
        self, tuner: Tuner, order: int = 0, reply: Callable[[TrialJob], JobOutcome] = answer
    ) -> None:
        self.tuner, self.reply = tuner, reply
        self.log: list[dict[str, Any]] = []
        self.jobs: list[TrialJob] = []
        self.most = 0
        self._codec = Codec(tuner.settings.space)
        self._random = random.Random(order)
        self._out: list[TrialJob] = []

    def run(self, events: int | None = None) -> Driver:
        """Nothing is left to do, or `events` are in the log."""
        while True:
            while True:
                self.tuner.draw()
                job = self.tuner.next()
                self._note()
                if job is None:
                    break
                self._out.append(job)
                self.jobs.append(job)
                self.most = max(self.most, len(self._out))
                if events is not None and len(self.log) >= events:
                    return self
            if not self._out:
                return self
            job = self._out.pop(self._random.randrange(len(self._out)))
            self.tuner.take(self.reply(job))
            self._note()
            if events is not None and len(self.log) >= events:
                return self

    def events(self) -> list[Event]:
        """The log as the next process would read it."""
        return [self._codec.from_json(line) for line in self.log]

    def _note(self) -> None:
        self.log += [self._codec.to_json(event) for event in self.tuner.log]
        self.tuner.log.clear()


def table(tuner: Tuner) -> list[tuple[Any, ...]]:
    """What became of every trial, to compare two searches by."""
    return [
        (
            t.index,
            t.key,
            t.state,
            t.resource,
            t.bracket,
            t.parent,
            tuple((r.resource, r.loss) for r in t.reports),
        )
        for t in tuner.trials
    ]


def resumed(settings: TuneSettings, events: Iterable[Event]) -> Tuner:
    """A tuner of another process that has read the log."""
    tuner = Tuner(settings)
    tuner.replay(events)
    return tuner
