"""What a worker process remembers of the steps it ran: the fastest of the places where a result is found."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from prefect_tune.nodes import StepNode


class StepFailed(Exception):
    """A step raised; the cause is chained."""

    def __init__(self, node: StepNode, seconds: float) -> None:
        super().__init__(node.family)
        self.node, self.seconds = node, seconds

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """As the context of the user's error it travels as text: without its node, which may be large."""
        return Exception, (str(self),)


@dataclass(slots=True)
class Outcome:
    """What a node left in memory.

    Attributes:
        state: the fitted step; None where nothing is fitted.
        out: its output; None where there is none.
        seconds: what computing it took, here or when it was recorded.
        size: bytes of the output.
    """

    state: Any = None
    out: Any = None
    seconds: float = 0.0
    size: int = 0


class Memo:
    """Outcomes by key, the least recently used dropped beyond a number of bytes.

    Args:
        limit: bytes of outputs to hold.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self._items: OrderedDict[bytes, Outcome | StepFailed] = OrderedDict()

    def get(self, key: bytes) -> Outcome | StepFailed | None:
        found = self._items.get(key)
        if found is not None:
            self._items.move_to_end(key)
        return found

    def put(self, key: bytes, outcome: Outcome | StepFailed) -> None:
        self._items[key] = outcome
        self.held += getattr(outcome, "size", 0)
        while self.held > self.limit and len(self._items) > 1:
            _, dropped = self._items.popitem(last=False)
            self.held -= getattr(dropped, "size", 0)

    def forget(self, key: bytes) -> None:
        """Drops an outcome that nobody will ask for again, such as the fit of a leaf that has its scores."""
        dropped = self._items.pop(key, None)
        self.held -= getattr(dropped, "size", 0)

    def forget_failures(self) -> None:
        """Failures are remembered for one batch only: the next may be luckier, a retry certainly hopes so."""
        for key in [key for key, value in self._items.items() if isinstance(value, StepFailed)]:
            del self._items[key]
