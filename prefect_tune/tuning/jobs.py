"""Jobs: a stretch of one trial's training, how it is keyed, and what came out of it.

Rule 1: what a trial reports is keyed by its chain (objective, configuration, seed) and the resource, never by
the trial's index or by the search. So another schedule, a longer search or a second trial of the same
configuration finds it.
Rule 2: a state is keyed likewise. A job goes on from the latest state that lies within the known reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from prefect_tune.identity import encode as enc
from prefect_tune.trials import Config


@dataclass(frozen=True, slots=True)
class Chain:
    """The training of one configuration, from which the keys of its reports and states derive.

    Attributes:
        key: digest, in hex.
        base: resource at which the chain begins: 0, or that of the donor's state for a clone.
        origin: key of the donor's state, empty without one.
    """

    key: str
    base: int = 0
    origin: str = ""

    def report(self, resource: int) -> str:
        """Key of the report at that resource."""
        return enc.digest("trial-report/v1", self.key, resource).hex()

    def state(self, resource: int) -> str:
        """Key of the state at that resource."""
        return (
            self.origin if resource == self.base else enc.digest("trial-state/v1", self.key, resource).hex()
        )

    def artefacts(self, resource: int) -> str:
        """Key of what the report at that resource brought along."""
        return enc.digest("trial-artefacts/v1", self.key, resource).hex()

    def end(self) -> str:
        """Key of the note that the function returned by itself."""
        return enc.digest("trial-end/v1", self.key).hex()

    def clone(self, config: Config, resource: int) -> Chain:
        """The chain of another configuration that goes on from this one's state at `resource`."""
        origin = self.state(resource)
        return Chain(enc.digest("trial-clone/v1", origin, dict(config), resource).hex(), resource, origin)


def chain_of(objective: bytes, config: Config, seed: int, noise: int | None) -> Chain:
    """The chain of a configuration.

    Args:
        objective: identity of the objective.
        config: the configuration.
        seed: of the search.
        noise: index of the trial if equal configurations are to be run again, else None.
    """
    return Chain(enc.digest("trial/v1", objective, dict(config), seed, noise).hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """A stretch of training.

    Attributes:
        number: of the job in the search.
        trial: index of the trial.
        config: its configuration.
        chain: keys of what it leaves behind.
        since: resource from which it goes on.
        until: resource at which it waits for a decision; None: it runs to its own end.
        last: whether nobody will go on from its end, so that its generator need not be kept.
        attempt: 0, or how often this stretch has failed before.
        spent: seconds that the trial has trained up to `since`.
        seed: for the global generators, and for an objective that takes one.
    """

    number: int
    trial: int
    config: Config
    chain: Chain
    since: int
    until: int | None
    last: bool = False
    attempt: int = 0
    spent: float = 0.0
    seed: int = 0


class Fault(StrEnum):
    """Why a job failed."""

    RAISED = "raised"
    NONSENSE = "nonsense"
    TIME = "time"
    MEMORY = "memory"
    CRASHED = "crashed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Reported:
    """One report of a job.

    Attributes:
        resource: at which it was made.
        metrics: name -> value.
        seconds: that the trial has trained, up to here.
        cost: cumulative cost that the objective states, else 0.
    """

    resource: int
    metrics: Mapping[str, float]
    seconds: float = 0.0
    cost: float = 0.0


@dataclass(slots=True, kw_only=True)
class JobOutcome:
    """What a job did, small enough to travel.

    Attributes:
        job, trial: numbers of the job and its trial.
        reports: in order, those after the job's `since`.
        ended: whether the function returned by itself.
        states: resource -> bytes of the states now stored.
        fault: why it failed, None if it did not.
        cause: exception and message on one line.
        tail: last lines of the traceback.
        trained: units of the resource that were trained here, known ones not counted.
        known: units found in the store.
        seconds: of training here.
        output: name -> resource of the artefacts that were stored.
        warnings: (class name, text) -> how often.
    """

    job: int
    trial: int
    reports: list[Reported] = field(default_factory=list)
    ended: bool = False
    states: dict[int, int] = field(default_factory=dict)
    fault: Fault | None = None
    cause: str = ""
    tail: str = ""
    trained: int = 0
    known: int = 0
    seconds: float = 0.0
    output: dict[str, int] = field(default_factory=dict)
    warnings: dict[tuple[str, str], int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        found: dict[str, Any] = {
            "job": self.job,
            "trial": self.trial,
            "reports": [[r.resource, dict(r.metrics), r.seconds, r.cost] for r in self.reports],
        }
        extra = {
            "ended": self.ended,
            "states": sorted(self.states.items()),
            "fault": self.fault.value if self.fault else None,
            "cause": self.cause,
            "tail": self.tail,
            "trained": self.trained,
            "known": self.known,
            "seconds": self.seconds,
            "output": self.output,
        }
        return found | {name: value for name, value in extra.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobOutcome:
        """The outcome that the journal kept."""
        return cls(
            job=data["job"],
            trial=data["trial"],
            reports=[Reported(*row) for row in data["reports"]],
            ended=data.get("ended", False),
            states=dict(data.get("states", ())),
            fault=Fault(data["fault"]) if data.get("fault") else None,
            cause=data.get("cause", ""),
            tail=data.get("tail", ""),
            trained=data.get("trained", 0),
            known=data.get("known", 0),
            seconds=data.get("seconds", 0.0),
            output=dict(data.get("output", {})),
        )
