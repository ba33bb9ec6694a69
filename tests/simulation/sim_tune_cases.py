"""Searches over an objective: which ones there are, and what may happen to them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from sim_fleet import NONE, Faults

from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.limiter import Limited
from prefect_tune.samplers.qmc import Halton
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.median import MedianStopping
from prefect_tune.schedules.asynchronous.pasha import PASHA
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.plateau import TrialPlateau
from prefect_tune.schedules.asynchronous.wilcoxon import Wilcoxon
from prefect_tune.space import SearchSpace, uniform
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.keep import Keep
from prefect_tune.tuning.settings import TuneSettings

R = 9
SPACE = SearchSpace({"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)})
SCHEDULES = {
    "fifo": FIFO(R),
    "endless": FIFO(None),
    "stopping": ASHA(R),
    "promotion": ASHA(R, type="promotion"),
    "brackets": ASHA(R, type="promotion", brackets=3, rung_system_per_bracket=True),
    "pasha": PASHA(R),
    "vizier": MedianStopping(R, min_samples=2),
    "rank": MedianStopping(R, rule="rank", min_samples=3),
    "percentile": MedianStopping(R, rule="percentile", min_samples=2, interval=2),
    "plateau": TrialPlateau(ASHA(R, type="promotion"), std=0.05, grace_period=2, num_results=2),
    "flat": TrialPlateau(FIFO(R), std=0.02, grace_period=3, num_results=3),
    "wilcoxon": Wilcoxon(R, p_threshold=0.2),
    "pbt": PBT(R, population=5, interval=2),
    "pbt in step": PBT(R, population=4, interval=3, synch=True),
    "flat pbt": TrialPlateau(PBT(R, population=5, interval=2), std=0.005, grace_period=3, num_results=3),
    "flat pbt in step": TrialPlateau(PBT(R, population=4, interval=3, synch=True), std=0.005, num_results=3),
}
SAMPLERS = {"random": Random(), "halton": Halton(), "limited": Limited(Random(), 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A search and what happens to it.

    Attributes:
        seed: of the story.
        schedule, sampler: names of the tables above.
        slots: workers, and trials at once.
        budget: of the search.
        kind: what the objective gives: `state`, `lazy` states, no states (`bare`), or one value (`once`).
        bad: share of configurations whose loss is not finite from some epoch on.
        hopeless: share of configurations that always raise.
        every: units between two checkpoints, None for those at decisions only.
        failures: how often a trial may be tried again.
        keep: which states are kept.
        thinks: the longest that a sampler takes.
        ordered: whether nothing that happens may change the order of decisions.
    """

    seed: int
    schedule: str
    sampler: str = "random"
    slots: int = 1
    budget: Budget = field(default_factory=lambda: Budget(n_trials=6))
    kind: str = "state"
    bad: float = 0.0
    hopeless: float = 0.0
    every: int | None = None
    failures: int = 0
    keep: Keep = field(default_factory=Keep)
    thinks: float = 0.0
    faults: Faults = NONE
    ordered: bool = False

    @property
    def settings(self) -> TuneSettings:
        """The question."""
        return TuneSettings(
            name="simulated",
            objective=b"o" * 32,
            space=SPACE,
            sampler=SAMPLERS[self.sampler],
            schedule=SCHEDULES[self.schedule],
            budget=self.budget,
            seed=self.seed,
            max_failures=self.failures,
            max_concurrent=self.slots,
            keep=self.keep,
        )


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    draw = random.Random(f"tune {seed}")
    schedule = list(SCHEDULES)[seed % len(SCHEDULES)]
    ordered = draw.random() < 0.4
    population = "pbt" in schedule
    rate = lambda most=0.25: draw.random() * most if draw.random() < 0.4 else 0.0  # noqa: E731
    faults = Faults(
        kills=draw.choice([0, 1, 2, 5]),
        points=draw.choice([10, 60, 200]),
        dies=rate(),
        mute=rate(),
        late=rate(),
        twice=rate(),
        raises=0.0 if ordered else rate(),
        crashes=0.0 if ordered else rate(),
        lost=0.0 if ordered and population else rate(0.6),
        refuses=0.0 if ordered and population else rate(1.0),
        jumps=rate(),
        survives=draw.random(),
        at_once=0.0 if ordered else rate(),
        most=2 if ordered else 99,
    )
    trials = draw.randint(3, 10)
    kind = (
        "once" if schedule == "endless" and draw.random() < 0.5 else draw.choice(["state", "state", "lazy"])
    )
    if not population and kind == "state" and draw.random() < 0.2:
        kind = "bare"
    return Scenario(
        seed=seed,
        schedule=schedule,
        sampler=draw.choice(list(SAMPLERS)),
        slots=1 if ordered else draw.randint(1, 5),
        budget=_budget(draw, trials),
        kind=kind,
        bad=draw.choice([0.0, 0.0, 0.2]),
        hopeless=draw.choice([0.0, 0.0, 0.15]),
        every=draw.choice([None, None, 1, 2]),
        failures=draw.randint(0, 2),
        keep=draw.choice([Keep(), Keep(), Keep(num_to_keep=1), Keep(num_to_keep=1, keep_in_search=2)]),
        thinks=draw.choice([0.0, 2.0]),
        faults=faults,
        ordered=ordered,
    )


def _budget(draw: random.Random, trials: int) -> Budget:
    """A budget: mostly a number of trials, sometimes another criterion beside it."""
    more: list[dict[str, Any]] = [
        {},
        {},
        {"max_evaluations": draw.randint(3, 40)},
        {"max_resource": draw.randint(3, 40), "on_stop": draw.choice([None, "drain"])},
        {"max_trials_finished": draw.randint(1, 6)},
        {"metric_threshold": 0.2},
    ]
    return Budget(n_trials=trials, **draw.choice(more))
