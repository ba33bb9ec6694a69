"""First in, first out: every trial runs to the maximum or to its own end. What others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Machine, Verdict
from prefect_tune.schedules.asynchronous.curves import CurveMachine, checked_fail_on_nan
from prefect_tune.schedules.rungs import checked_max


@dataclass(frozen=True, slots=True)
class FIFO:
    """Nobody is stopped.

    Attributes:
        max_resource: where a trial is complete; None: where its function returns.
        fail_on_nan: `report` fails a trial at its first loss that is not finite, `rung` only at its end.

    >>> machine = FIFO(1).begin(0, str)
    >>> machine.offer(0)
    Job(trial=0, since=0, until=1, bracket=0, parent=None, exploit=None)
    >>> machine.report(0, 1, 0.5).verdict
    <Verdict.COMPLETE: 'complete'>
    """

    max_resource: int | None = None
    fail_on_nan: str = "rung"

    def __post_init__(self) -> None:
        if self.max_resource is not None:
            object.__setattr__(self, "max_resource", checked_max(self.max_resource))
        checked_fail_on_nan(self.fail_on_nan)

    @property
    def levels(self) -> tuple[int, ...]:
        """The maximum alone; without one, 1: the whole run counts as one unit."""
        return (self.max_resource or 1,)

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine; nothing is drawn."""
        return _FIFOMachine(self.levels, self.max_resource, keys, self.fail_on_nan)

    def identity(self) -> dict[str, object]:
        """The settings."""
        return {"schedule": "fifo", "max_resource": self.max_resource, "fail_on_nan": self.fail_on_nan}


class _FIFOMachine(CurveMachine):
    """Starts whatever may start."""

    def offer(self, index: int | None) -> Job | None:
        """The new trial, if one is allowed."""
        return None if index is None else self.start(Job(index, 0, self.max_resource))

    def decide(self, trial: int, resource: int, loss: float) -> Decision:
        """On to the end."""
        return Decision(Verdict.CONTINUE, self.max_resource)
