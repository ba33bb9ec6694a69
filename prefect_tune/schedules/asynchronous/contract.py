"""What every asynchronous schedule is told, and what it answers.

Rule 1: a schedule's settings are a frozen value; `begin` makes the machine that holds its state.
Rule 2: decisions are a pure function of the ordered log of events (offers, reports, ends). Told the same
events again, a fresh machine decides the same.
Rule 3: a report is known by (trial, resource). Told twice, it is answered twice and counted once.
Theory: Li et al., MLSys 2020 (ASHA); each rule's module names its own source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """What becomes of a trial after a report."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"
    COMPLETE = "complete"
    FAIL = "fail"
    LATE = "late"
    """The trial was no longer running: the report is kept and changes nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a report.

    Attributes:
        verdict: what becomes of the trial.
        until: where it must report next, if it goes on; None if it runs to its own end.
        reason: in words, for the log and the user.
    """

    verdict: Verdict
    until: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a free worker: a new trial, or one that goes on.

    Attributes:
        trial: its index.
        since: resource that its checkpoint has; 0 for a trial that starts from nothing.
        until: resource to reach before the next decision; None runs to the function's own end.
        bracket: that the trial belongs to.
        parent: the trial whose checkpoint and configuration it starts from (population based training).
        exploit: running number of that copy, which seeds the change of the configuration.
    """

    trial: int
    since: int
    until: int | None
    bracket: int = 0
    parent: int | None = None
    exploit: int | None = None

    @property
    def new(self) -> bool:
        """Whether the trial starts with this job."""
        return self.since == 0 or self.parent is not None


class Machine(Protocol):
    """The state of one schedule: told of every event in order, asked whenever a worker is free."""

    def offer(self, index: int | None) -> Job | None:
        """Work for a free worker, marked as given out; None if there is nothing to do now.

        Args:
            index: of the trial that may be started; None if no new trial is allowed (then only a
                promotion can come back).
        """
        ...

    def report(self, trial: int, resource: int, loss: float) -> Decision:
        """What becomes of the trial. A report known already gives its first decision again."""
        ...

    def done(self, trial: int) -> Decision:
        """The function has returned by itself: the trial is completed, unless its last loss is not finite."""
        ...

    def fail(self, trial: int) -> None:
        """The trial has failed for good: never promoted; its records stay."""
        ...

    def stop(self, trial: int) -> None:
        """The search stops the trial, or will not go on with it."""
        ...

    def losses(self, trial: int) -> dict[int, float]:
        """The trial's finite losses that a sampler may see (`searcher_data`)."""
        ...

    def pending(self, trial: int) -> tuple[int, ...]:
        """The trial's resources under way that a sampler may count on; empty unless it runs."""
        ...

    def ranking(self) -> list[int]:
        """Trials by the schedule's own answer, best first: at the highest level, the best loss."""
        ...


class TrialSchedule(Protocol):
    """Settings of a schedule, checked when they are made."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Resources at which trials are compared, rising; the last one is the maximum."""
        ...

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine.

        Args:
            seed: of the search; brackets are drawn from it.
            keys: gives the key of a trial's configuration, which breaks ties.
        """
        ...

    def identity(self) -> dict[str, object]:
        """The settings that tell two schedules apart, JSON-able, its name under `schedule`."""
        ...


class KeyOf(Protocol):
    """The key of a trial's configuration by the trial's index."""

    def __call__(self, trial: int) -> str: ...
