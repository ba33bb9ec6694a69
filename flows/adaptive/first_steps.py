"""What is done before the first round: rows to score are gathered, steps before the last are fitted.

Rule: each distinct step is fitted once per split, in an order in which its inputs are there.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefect_tune.flows.adaptive.board import BoardDispatch
from prefect_tune.nodes import StepNode
from prefect_tune.plan import is_pick
from prefect_tune.rounds import PrefixUnit, RoundBatch, RowsUnit, TrainUnit

Keys = Mapping[TrainUnit, tuple[str, ...]]
"""Keys of the scores of units, metric by metric."""


class PrefixDispatch(BoardDispatch):
    """Fits the steps before the last, each distinct one once per split."""

    async def fit_all(self) -> None:
        """Runs, wave by wave, every such step that the store lacks; before that, gathers the scored rows."""
        rows = await self.board.off_loop(self._rows)
        await self.run([RoundBatch(index=i, leaves=(u,), label="rows to score") for i, u in enumerate(rows)])
        for number, units in enumerate(await self.board.off_loop(self._waves)):
            label = f"first steps · {number + 1}"
            await self.run([RoundBatch(index=i, leaves=(u,), label=label) for i, u in enumerate(units)])

    def _rows(self) -> list[RowsUnit]:
        """The splits whose scored rows lie in files and must be gathered; others are at hand."""
        board = self.board
        if not board.spec.data.appendable:
            return []
        keys = {board.spec.validation_key(split).hex(): split for split in range(board.spec.n_splits)}
        found = board.store.lookup(list(keys), board.spec.scope)
        return [RowsUnit(-1, split) for key, split in keys.items() if key not in found]

    def _waves(self) -> list[list[PrefixUnit]]:
        """The distinct steps to be fitted, each once; a wave needs nothing but the waves before it."""
        board = self.board
        distinct: dict[str, tuple[int, PrefixUnit]] = {}
        for row in range(len(board.spec.candidates)):
            for split in range(board.spec.n_splits):
                for depth, state in enumerate(board.chain(row, split).states):
                    for part, node in enumerate(state.nodes() if state is not None else ()):
                        unit = PrefixUnit(row, split, depth, part)
                        if node.key.hex() not in distinct and not is_pick(node):
                            distinct[node.key.hex()] = (_height(node), unit)
        found = board.store.lookup(list(distinct), board.spec.scope)
        waves: dict[int, list[PrefixUnit]] = {}
        for key, (height, unit) in distinct.items():
            if key not in found:
                waves.setdefault(height, []).append(unit)
        return [waves[height] for height in sorted(waves)]


def _height(node: StepNode) -> int:
    """Steps on the longest way from the rows to this one."""
    return 1 + max(map(_height, node.inputs), default=0)
