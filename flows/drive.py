"""The driver of a search on whole folds: what its batches did goes into the compiled search."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.dispatch import Dispatch, Tally
from prefect_tune.plan import CompiledSearch
from prefect_tune.table import LeafFailure
from prefect_tune.tasks.evaluation import SearchFile
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.runner import TuneTaskRunner


class Driver(Dispatch):
    """Runs batches of one search on one cluster.

    Args:
        compiled: the search; its records grow as batches end.
        search: where workers find it.
        runner: the started task runner.
        slots: threads of the cluster.
        told: called after each batch.

    Attributes:
        trained, taken_over: units of a parameter that grows, as in `BatchOutcome`.
    """

    def __init__(
        self,
        compiled: CompiledSearch,
        search: SearchFile,
        runner: TuneTaskRunner,
        slots: int,
        told: Callable[[Tally], Awaitable[None]],
    ) -> None:
        super().__init__(search, runner, slots, Tally())
        self.compiled, self.told = compiled, told
        self.trained = self.taken_over = 0

    async def tell(self) -> None:
        await self.told(self.tally)

    def absorb(self, outcome: BatchOutcome) -> None:
        compiled = self.compiled
        for record in outcome.records:
            compiled.scores[record.key] = record
        for row, fold in outcome.done:
            compiled.take_in(compiled.table[row][fold])
        for family, (count, seconds) in outcome.ran.items() if not outcome.model else ():
            if not family.endswith((".fit", ".score")):
                compiled.costs.learn(family, seconds / count)
        for failure in outcome.failures:
            leaf = compiled.table[failure.row][failure.fold]
            compiled.failed.add(leaf.key)
            entry = self.tally.failures.setdefault(
                leaf.key, LeafFailure(failure.cause, failure.tail, failure.seconds)
            )
            if failure.metric:
                entry.scores.add((failure.side, failure.metric))
        if not outcome.model:
            self.trained += outcome.trained
            self.taken_over += outcome.taken_over
        self._check(outcome)
        self.tally.count(outcome)

    def _check(self, outcome: BatchOutcome) -> None:
        """Nothing; each leaf that was evaluated has its scores, or is known to have failed.

        Raises:
            InfrastructureError: a worker filed its scores under other keys, so they would be missed silently.
        """
        for row, fold in outcome.done:
            leaf = self.compiled.table[row][fold]
            missing = any(key not in self.compiled.scores for key in leaf.score_keys)
            if missing and leaf.key not in self.tally.failures:
                raise InfrastructureError(
                    f"candidate {row}, fold {fold}: the worker's key of this step is not the driver's. Do "
                    "all workers have the same versions of your code, Python and the packages?"
                )

    def condemn(self, leaf: Any, cause: BaseException) -> None:
        """A leaf whose workers die is a failed candidate.

        Raises:
            InfrastructureError: with `error_score="raise"`.
        """
        row, fold = leaf
        text = f"{type(cause).__name__}: the workers that ran it were lost"
        if self.compiled.spec.error_score == "raise":
            raise InfrastructureError(f"candidate {row}, fold {fold}: {text}.") from cause
        key = self.compiled.table[row][fold].key
        self.compiled.failed.add(key)  # or it would be planned again after the pilot
        self.tally.failures[key] = LeafFailure(text, repr(cause))
