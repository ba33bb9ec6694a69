"""Fits that go on from an earlier iteration's fit of the same candidate on the same fold.

Rule 1: only what grows exactly is grown (see `prefect_tune.growing`); all else is fitted from nothing.
Rule 2: where the earlier fit is missing the fit starts from nothing too, and gives the same.
Rule 3: what a later iteration may go on from is left in the store, and marked if that is its only use.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from prefect_tune.chunks.rows import row_count
from prefect_tune.growing import FOR_GROWTH, Growth, grower_of, why_from_nothing
from prefect_tune.nodes import StepNode
from prefect_tune.store import MissingBlob, Record, StepStore


class Gardener:
    """Fits last steps, from nothing or from where an earlier iteration left them.

    Args:
        spec: the search; without `growth` everything is fitted from nothing.
        compiler: gives the keys of earlier fits.
        store: where they are.

    Attributes:
        trained, taken_over: units of what grows that fits trained here, and that they had already.
        before: key of a fit -> seconds of the fits that it goes on from.
    """

    def __init__(self, spec: Any, compiler: Any, store: StepStore) -> None:
        self.growth: Growth | None = getattr(spec, "growth", None)
        self.scope, self.compiler, self.store = spec.scope, compiler, store
        self.trained = self.taken_over = 0
        self.before: dict[bytes, float] = {}
        self._exact: set[bytes] = set()

    def fit(self, node: StepNode, step: Any, X: Any, *given_y: Any, **arguments: Any) -> Any:
        """`step` fitted, or an earlier fit of it grown to be the same.

        Args:
            node: the fit.
            step: the unfitted step with the candidate's parameters.
            X, given_y, arguments: what `fit` takes.
        """
        name = self.growth.own_name(node.choice.step.path) if self.growth is not None else ""
        if not name:
            step.fit(X, *given_y, **arguments)  # what it returns is ignored by scikit-learn as well
            return step
        level, at = node.choice.overrides[name], 0
        # A derived seed belongs to one key, and so to one level.
        if not node.choice.seeded and not why_from_nothing(step, name, row_count(X), arguments):
            self._exact.add(node.key)
            at, state = self._earlier(node, name)
        if at:
            step = grown(step, state, (name, at, level), X, *given_y, **arguments)
        else:
            step.fit(X, *given_y, **arguments)
        self.trained, self.taken_over = self.trained + level - at, self.taken_over + at
        return step

    def _earlier(self, node: StepNode, name: str) -> tuple[int, Any]:
        """(how far, the state) of the furthest earlier fit that the store has; (0, None) for none."""
        assert self.growth is not None
        for level in reversed(self.growth.before):
            key = self.compiler.sibling(node, {name: level}).key
            record = self.store.get(key.hex(), self.scope)
            if record is None or not record.outputs:
                continue
            with suppress(MissingBlob):
                state = self.store.load(record, "state", writable=True)
                self.before[node.key] = total_seconds(record)
                return level, state
        return 0, None

    def keeps(self, node: StepNode) -> bool:
        """Whether a later iteration may go on from this fit."""
        return self.growth is not None and self.growth.keep and node.key in self._exact

    def values(self, node: StepNode, *, worth_keeping: bool) -> dict[str, Any]:
        """What the record of a fit says about its growth.

        Args:
            worth_keeping: whether it would be kept anyway.
        """
        before = {"before": self.before[node.key]} if node.key in self.before else {}
        return before if worth_keeping else {**before, FOR_GROWTH: True}

    def learn(self, node: StepNode, record: Record) -> None:
        """Takes in what a stored fit went on from."""
        if "before" in record.values:
            self.before[node.key] = float(record.values["before"])


def total_seconds(record: Record) -> float:
    """Seconds of a fit and of those it went on from."""
    return record.seconds + float(record.values.get("before", 0.0))


def grown(step: Any, state: Any, stage: tuple[str, int, int], X: Any, *given_y: Any, **arguments: Any) -> Any:
    """`state` brought to the last level of `stage` (parameter, level it has, level wanted)."""
    name, at, level = stage
    row = grower_of(step)
    assert row is not None  # or it would not grow exactly
    if row.argument:
        so_far = state.get_booster() if hasattr(state, "get_booster") else state
        step.set_params(**{name: level - at})
        step.fit(X, *given_y, **arguments, **{row.argument: so_far})
        return step.set_params(**{name: level})
    # All parameters: another search may have left the state, with other ones of those that change nothing.
    state.set_params(**{**step.get_params(deep=False), "warm_start": True})
    state.fit(X, *given_y, **arguments)
    return state.set_params(warm_start=step.warm_start)
