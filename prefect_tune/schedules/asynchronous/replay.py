"""Replay: the log of what a machine was told, and the same answers from a fresh one.

Rule: an event is told and answered before the next one; the log is their order and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Machine, TrialSchedule


class Told(StrEnum):
    """Kinds of events, named after the method that takes them."""

    OFFER = "offer"
    REPORT = "report"
    DONE = "done"
    FAIL = "fail"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a machine is told.

    Attributes:
        told: its kind.
        trial: its trial; for an offer the index that may start, or None.
        resource, loss: of a report.
    """

    told: Told
    trial: int | None
    resource: int = 0
    loss: float = 0.0


Answer: TypeAlias = Job | Decision | None


def tell(machine: Machine, event: Event) -> Answer:
    """The machine's answer to one event."""
    if event.told is Told.OFFER:
        return machine.offer(event.trial)
    trial = -1 if event.trial is None else event.trial
    if event.told is Told.REPORT:
        return machine.report(trial, event.resource, event.loss)
    if event.told is Told.DONE:
        return machine.done(trial)
    machine.fail(trial) if event.told is Told.FAIL else machine.stop(trial)
    return None


def replay(schedule: TrialSchedule, events: Iterable[Event], *, seed: int, keys: KeyOf) -> list[Answer]:
    """The answers of a fresh machine to a log, one per event; those given before, if the log is true."""
    machine = schedule.begin(seed, keys)
    return [tell(machine, event) for event in events]


@dataclass(slots=True)
class Recorder:
    """A machine's log, kept while it is used.

    Attributes:
        events, answers: so far, side by side.
    """

    machine: Machine
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def tell(self, told: Told, trial: int | None, resource: int = 0, loss: float = 0.0) -> Answer:
        """The machine's answer, recorded with the event."""
        event = Event(told, trial, resource, loss)
        answer = tell(self.machine, event)
        self.events.append(event)
        self.answers.append(answer)
        return answer
