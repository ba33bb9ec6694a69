"""What a search over an objective is, as one value; its identity names its journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_tune.identity import encode as enc
from prefect_tune.trials import Config
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.jobs import Chain, chain_of
from prefect_tune.tuning.keep import Keep

if TYPE_CHECKING:
    from prefect_tune.samplers.contract import Sampler
    from prefect_tune.schedules.asynchronous.contract import TrialSchedule
    from prefect_tune.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSettings:
    """A search over an objective.

    Attributes:
        name: of the search.
        objective: identity of the objective.
        space: of configurations.
        sampler: draws them.
        schedule: decides who goes on.
        budget: when to stop.
        points: configurations to try first, complete.
        evaluated: (configuration, loss, resource) of what is known without running.
        metric: entry of the reports to judge by; None takes the only one.
        mode: `min` or `max`.
        seed: of the search.
        noisy: whether equal configurations are to be run again.
        max_failures: how often one trial may fail and be tried again from its last state.
        max_concurrent: trials that may run at once.
        keep: which states are kept.
        whole: whether a trial has a value at its end only, since earlier reports are means over fewer parts.
    """

    name: str
    objective: bytes
    space: SearchSpace
    sampler: Sampler
    schedule: TrialSchedule
    budget: Budget
    points: Sequence[Config] = ()
    evaluated: Sequence[tuple[Config, float, int]] = ()
    metric: str | None = None
    mode: str = "min"
    seed: int = 0
    noisy: bool = False
    max_failures: int = 0
    max_concurrent: int = 1
    keep: Keep = field(default_factory=Keep)
    whole: bool = False

    def key(self) -> str:
        """What tells this search from others, in hex; budgets are no part of it, so raising one goes on."""
        return enc.digest(
            "tune/v1",
            self.name,
            self.objective,
            self.space.identity(),
            self.sampler.identity(),
            self.schedule.identity(),
            [dict(point) for point in self.points],
            [[dict(config), loss, resource] for config, loss, resource in self.evaluated],
            self.metric,
            self.mode,
            self.seed,
            self.noisy,
        ).hex()

    def chain(self, config: Config, trial: int) -> Chain:
        """The chain of a trial that starts from nothing."""
        return chain_of(self.objective, config, self.seed, trial if self.noisy else None)

    def loss(self, value: float) -> float:
        """A value of the metric as a loss: smaller is better."""
        return value if self.mode == "min" else -value
