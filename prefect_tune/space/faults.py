"""What is wrong with a space or a point, one sentence per fault, all told at once.

Rule: a fault says the place, the rule, the value received and the next move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prefect_tune.errors import SpaceError
from prefect_tune.text import short


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake.

    Attributes:
        place: path of the leaf, or the constructor's call, e.g. `net/0/width`, `loguniform(-1.0, 1.0)`.
        rule: what had to hold, e.g. `low must be above 0`.
        value: what was given.
        advice: the next move.
        hint: one more sentence, with a space before it; or nothing.
    """

    place: str
    rule: str
    value: Any
    advice: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}, got {short(repr(self.value), 100)}; {self.advice}.{self.hint}"

    def below(self, place: str) -> Fault:
        """The same fault with an outer place put before its own."""
        return replace(self, place=f"{place}: {self.place}")


class SpaceFaults(SpaceError):
    """Every fault of a space, a form or a list of points.

    Attributes:
        faults: one or more, in the order of reading.
        subject: what they are faults of, e.g. `the space`.
    """

    def __init__(self, faults: Sequence[Fault], subject: str = "the space") -> None:
        self.faults, self.subject = tuple(faults), subject
        if len(self.faults) == 1:
            super().__init__(str(self.faults[0]))
        else:
            lines = "".join(f"\n- {fault}" for fault in self.faults)
            super().__init__(f"{subject} has {len(self.faults)} faults:{lines}")

    def __reduce__(self) -> tuple:
        return type(self), (self.faults, self.subject)


def raise_any(faults: Sequence[Fault], subject: str = "the space") -> None:
    """Raises SpaceFaults if there is a fault."""
    if faults:
        raise SpaceFaults(faults, subject)
