"""The board: what trials have recorded at each level, and who waits there for promotion.

Rule 1: a trial has at most one entry per level. An entry without a loss says that the trial stepped over the
level: it counts for who has been where, never for a cutoff.
Rule 2: whoever is promoted leaves the waiting list at that moment, so two workers never take the same trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from sortedcontainers import SortedList

from prefect_tune.schedules.asynchronous.levels import Levels
from prefect_tune.schedules.asynchronous.rules import Rule


@dataclass(slots=True)
class RungRecords:
    """Records of one rung.

    Attributes:
        level: its resource.
        share: the part that should go on.
        entries: loss by trial, None where the trial stepped over.
        losses: all losses, rising; those of promoted and failed trials stay.
        waiting: (loss, key, trial) of those paused here, best first.
    """

    level: int
    share: Fraction
    entries: dict[int, float | None] = field(default_factory=dict)
    losses: SortedList = field(default_factory=SortedList)  # a plain list would move all that is behind
    waiting: SortedList = field(default_factory=SortedList)

    def enter(self, trial: int, loss: float) -> None:
        """Records a finite loss."""
        self.entries[trial] = loss
        self.losses.add(loss)

    def skip(self, trial: int) -> None:
        """Notes that the trial stepped over this level."""
        self.entries[trial] = None

    def wait(self, trial: int, key: str) -> None:
        """Puts a trial recorded here on the waiting list."""
        self.waiting.add((self.loss(trial), key, trial))

    def withdraw(self, trial: int, key: str) -> None:
        """Takes a trial off the waiting list, if it is there."""
        self.waiting.discard((self.loss(trial), key, trial))

    def passes(self, trial: int, rule: Rule) -> bool:
        """Whether the trial passes by the rule over all losses recorded so far."""
        return rule.passes(self.losses, self.loss(trial), self.share)

    def promote(self, rule: Rule) -> int | None:
        """The best waiting trial, taken off the list, if it passes."""
        if self.waiting and rule.passes(self.losses, self.waiting[0][0], self.share):
            return self.waiting.pop(0)[2]
        return None

    def loss(self, trial: int) -> float:
        """The trial's loss here, which it must have."""
        loss = self.entries[trial]
        if loss is None:
            raise KeyError(f"trial {trial} stepped over level {self.level}")
        return loss


@dataclass(slots=True)
class Board:
    """One system of rungs: shared by all brackets, or of one bracket."""

    rungs: list[RungRecords]

    @classmethod
    def empty(cls, levels: Levels) -> Board:
        """A board without records."""
        return cls([RungRecords(level, levels.share(i)) for i, level in enumerate(levels.rungs)])
