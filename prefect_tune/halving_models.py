"""The models of a halving search that wait for an iteration to go on from them.

Rule: a model waits while its candidate is still in and has not gone on. Then it is removed, unless it is
worth keeping for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prefect_tune.growing import FOR_GROWTH, Growth
from prefect_tune.halving_result import SAMPLES, Ladder
from prefect_tune.nodes import Leaf
from prefect_tune.schedules.rungs import Rung
from prefect_tune.store import StepStore


def growth_in(ladder: Ladder, rung: Rung) -> Growth | None:
    """How the fits of `rung` go on from those before; None where samples are what grows."""
    if ladder.resource == SAMPLES:
        return None
    levels = sorted({other.resource for other in ladder.rungs})
    place = levels.index(rung.resource)
    return Growth(parameter=ladder.resource, before=tuple(levels[:place]), keep=place + 1 < len(levels))


class WaitingModels:
    """The models of one search, by key.

    Args:
        store: where they are.
        scope: the store's scope of the search.
    """

    def __init__(self, store: StepStore, scope: str) -> None:
        self.store, self.scope = store, scope
        self._waiting: set[str] = set()
        self._done_with: set[str] = set()

    def take_in(self, table: Iterable[Sequence[Leaf]], kept: Iterable[Sequence[Leaf]]) -> None:
        """Notes the fits of an iteration.

        Args:
            table: the leaves of its candidates.
            kept: those of the candidates that go on.
        """
        needed = _fits(kept)
        self._done_with |= (self._waiting | _fits(table)) - needed
        self._waiting = needed

    def drop(self) -> None:
        """Removes the models that nobody goes on from; reads and writes the store."""
        found = self.store.lookup(sorted(self._done_with), self.scope)
        marked = [key for key, record in found.items() if record.values.get(FOR_GROWTH)]
        if marked:
            self.store.release(marked)
        self._done_with = set()


def _fits(table: Iterable[Sequence[Leaf]]) -> set[str]:
    """Keys of the last fits of some candidates on all folds."""
    return {leaf.final.key.hex() for leaves in table for leaf in leaves if leaf.final is not None}
