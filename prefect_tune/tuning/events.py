"""What happened in a search, in order: the log from which its state can be built again.

Rule: an event is written before it is acted on. Three kinds suffice: a job was given out, a job came back,
the search was told to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from prefect_tune.trials import Config
from prefect_tune.tuning.jobs import JobOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A job was given out.

    Attributes:
        job: its number.
        trial: index of its trial.
        since, until: the stretch.
        offered: whether the schedule was asked for it; False for a trial that goes on by an earlier decision.
        fresh: index of the trial that the schedule was allowed to start, None if none.
        config: of a new trial, else None.
        suggestion: seconds that the suggestion took.
        at: seconds that the search has been active.
    """

    job: int
    trial: int
    since: int
    until: int | None
    offered: bool
    fresh: int | None = None
    config: Config | None = None
    suggestion: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A job came back, whole or failed."""

    outcome: JobOutcome
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """The search was told to stop.

    Attributes:
        reason: the criterion that was met.
        cancel: whether running trials were stopped at once.
    """

    reason: str
    cancel: bool
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A stopped search goes on, with a larger budget."""

    at: float = 0.0


Event: TypeAlias = Started | Returned | Halted | Reopened


@dataclass(slots=True)
class Codec:
    """Events as JSON, and back.

    Configurations may hold values that JSON has no form for, so they are written in the space's own form: one
    value per path, a choice by the index of its option.

    Attributes:
        space: of the search.
    """

    space: Any

    def to_json(self, event: Event) -> dict[str, Any]:
        """The event as a line of the journal."""
        if isinstance(event, Returned):
            return {"event": "returned", "at": event.at, **event.outcome.to_json()}
        if isinstance(event, Halted):
            return {"event": "halted", "reason": event.reason, "cancel": event.cancel, "at": event.at}
        if isinstance(event, Reopened):
            return {"event": "reopened", "at": event.at}
        values = None if event.config is None else self.space.values(event.config)
        line = {
            "event": "started",
            "job": event.job,
            "trial": event.trial,
            "since": event.since,
            "until": event.until,
            "offered": event.offered,
            "fresh": event.fresh,
            "values": values,
            "suggestion": event.suggestion,
            "at": event.at,
        }
        return {name: value for name, value in line.items() if value is not None}

    def from_json(self, line: Mapping[str, Any]) -> Event:
        """The event of a line."""
        kind, at = line["event"], line.get("at", 0.0)
        if kind == "returned":
            return Returned(outcome=JobOutcome.from_json(line), at=at)
        if kind == "halted":
            return Halted(reason=line["reason"], cancel=line["cancel"], at=at)
        if kind == "reopened":
            return Reopened(at=at)
        values = line.get("values")
        return Started(
            job=line["job"],
            trial=line["trial"],
            since=line["since"],
            until=line.get("until"),
            offered=line["offered"],
            fresh=line.get("fresh"),
            config=None if values is None else self.space.assemble(values),
            suggestion=line.get("suggestion", 0.0),
            at=at,
        )
