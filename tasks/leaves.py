"""Evaluating the leaves, prefixes or refit of one batch.

Rule 1: the scorers are shown what scikit-learn's would see: the predicting step and its transformed rows
where that gives the same scores, the whole estimator and a copy of the raw rows elsewhere.
Rule 2: a step that fails while fitting is a failed fit; one that fails on the rows to be scored is a failed
score of that side.
Rule 3: leaves that another search is just computing come last, and are then its results if it has them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from prefect_tune.batches import Batch
from prefect_tune.identifier import SCALARS
from prefect_tune.identity.encode import encode
from prefect_tune.identity.keys import step_key
from prefect_tune.nodes import Leaf, StepNode
from prefect_tune.store import Record
from prefect_tune.tasks.dataset import lend, private_copy
from prefect_tune.tasks.execute import Evaluator, creator, wants_to_write
from prefect_tune.tasks.memo import StepFailed
from prefect_tune.tasks.models import leave_model, model_record
from prefect_tune.tasks.outcome import BatchOutcome, FailedLeaf, cause_of, tail_of, trace_of, travelling
from prefect_tune.tasks.scoring import ScoreFailed, Scores, score


class LeafRunner:
    """Runs what one batch asks for.

    Args:
        evaluator: of the search.
        batch: what to run.
        outcome: filled as things end.
    """

    def __init__(self, evaluator: Evaluator, batch: Batch, outcome: BatchOutcome) -> None:
        self.evaluator, self.batch, self.outcome = evaluator, batch, outcome
        self.spec = evaluator.spec
        self.strict = evaluator.spec.error_score == "raise"

    def run(self) -> None:
        """Nothing; the outcome is filled.

        Raises:
            Exception: the user's own, with `error_score="raise"`.
        """
        self._deadline = time.perf_counter() + (self.batch.budget or float("inf"))
        later: list[tuple[Leaf, int]] = []
        for row, fold in self.batch.leaves:
            if self._late():
                break
            leaf = self.evaluator.compiler.leaf(self.spec.candidates[row], fold)
            if self.batch.refit:
                self._refit(leaf, row)
            elif self.batch.prefixes:
                self._prefixes(leaf)
            elif not self._in_turn(leaf, row):
                later.append((leaf, row))
        self.evaluator.turns.put_off(len(later))
        for leaf, row in later:
            if self._late():
                break
            if self.evaluator.turns.theirs(leaf.score_keys):
                self.outcome.done.append((row, leaf.fold))
                continue
            self._leaf(leaf, row)
            self.evaluator.turns.publish()

    def _late(self) -> bool:
        return bool(self.outcome.done) and time.perf_counter() > self._deadline

    def _in_turn(self, leaf: Leaf, row: int) -> bool:
        """Whether the leaf is done; False if another search is at it."""
        family = leaf.scores[0][1].family
        if self.evaluator.turns.matters(family):
            mine = self.evaluator.turns.mine(leaf.score_keys)
            if mine is None:
                self.outcome.done.append((row, leaf.fold))
            if not mine:
                return mine is None
        start = time.perf_counter()
        self._leaf(leaf, row)
        self.evaluator.turns.learn(family, time.perf_counter() - start)
        return True

    def _prefixes(self, leaf: Leaf) -> None:
        wanted = set(self.batch.prefixes)
        for node in leaf.prefix:
            if node.key in wanted:
                # The leaves below meet the same failure and report it as theirs.
                with suppress(StepFailed):
                    self.evaluator.evaluate(node)

    def _leaf(self, leaf: Leaf, row: int) -> None:
        self.outcome.done.append((row, leaf.fold))
        try:
            estimator = self._fitted(leaf, row)
        except StepFailed as failure:
            self._failed(row, leaf.fold, failure)
            return
        self._score(leaf, row, estimator)
        if leaf.final is not None and leaf.final.role == "fit":
            # Models may be large, and nobody asks for this one again.
            self.evaluator.memo.forget(leaf.final.key)

    def _fitted(self, leaf: Leaf, row: int) -> Any:
        """The estimator that the scorers are shown."""
        if leaf.final is not None:
            last = self.evaluator.evaluate(leaf.final)
            if leaf.through:
                return last.state
        return self.evaluator.assemble(leaf.fitted, self.evaluator.configured(row))

    def _score(self, leaf: Leaf, row: int, estimator: Any) -> None:
        fit_seconds = self.evaluator.fit_seconds(leaf)
        own = self.evaluator.evaluate(leaf.final).seconds if leaf.final is not None else 0.0
        found: list[tuple[str, str, Any]] = []
        timed = {}
        for side, node in leaf.scores:
            begun = time.perf_counter()
            scores = self._side(leaf, side, node, estimator)
            timed[side] = time.perf_counter() - begun
            self.evaluator.ran.append((node.family, timed[side]))
            found += [(side, metric, value) for metric, value in scores.items()]
        share = (own + sum(timed.values())) / len(found)
        for key, (side, metric, value) in zip(leaf.score_keys, found, strict=True):
            if isinstance(value, ScoreFailed):
                self._score_failed(row, leaf.fold, side, metric, value)
                continue
            values = {"score": value, "fit_seconds": fit_seconds, "score_seconds": timed[side]}
            self.outcome.records.append(
                Record(
                    key=key,
                    kind="score",
                    family=leaf.scores[0][1].family,
                    values=values,
                    seconds=share,
                    created=time.time(),
                    creator=creator(),
                )
            )

    def _side(self, leaf: Leaf, side: str, node: StepNode, estimator: Any) -> Scores:
        """The scores of one side; every metric failed where the rows cannot be transformed."""
        data = self.evaluator.data
        arguments, target = data.score_arguments(leaf.fold, side), data.target(leaf.fold, side)

        def ask(X: Any) -> Scores:
            place = f"{leaf.score_keys[0]}/{side}"
            watched = {"strict": self.strict, "watch": self.evaluator.watch, "place": place}
            return score(self.spec.scorer, estimator, X, lend(target), arguments, **watched)

        try:
            shown = self.evaluator.evaluate(node.inputs[-1]).out
        except StepFailed as failure:
            if self.strict:
                raise travelling(failure.__cause__) from None
            return dict.fromkeys(self.spec.metrics, ScoreFailed(trace_of(failure.__cause__)))
        if not leaf.through:
            return ask(private_copy(shown))
        try:
            scores = ask(lend(shown))
        except ValueError as error:
            if not wants_to_write(error):
                raise
            return ask(private_copy(shown))
        failed = [value for value in scores.values() if isinstance(value, ScoreFailed)]
        return ask(private_copy(shown)) if any(map(wants_to_write, failed)) else scores

    def _refit(self, leaf: Leaf, row: int) -> None:
        base = self.evaluator.configured(row)
        key = _model_key(leaf, base)

        def fit() -> tuple[Any, Record]:
            start = time.perf_counter()
            try:
                model = self.evaluator.assemble(leaf.fitted, base, declared=True)
            except StepFailed as failure:
                raise travelling(failure.__cause__) from None
            took = time.perf_counter() - start
            return model, model_record(key, model, self.evaluator.fit_seconds(leaf), fit_seconds=took)

        self.evaluator.reused += leave_model(key, self.evaluator.turns, fit)
        self.outcome.model = key

    def _failed(self, row: int, fold: int, failure: StepFailed) -> None:
        error = failure.__cause__
        if self.strict:
            raise travelling(error) from None
        tail = tail_of(trace_of(error))
        self.outcome.failures.append(
            FailedLeaf(row=row, fold=fold, cause=cause_of(error), tail=tail, seconds=failure.seconds)
        )

    def _score_failed(self, row: int, fold: int, side: str, metric: str, trace: ScoreFailed) -> None:
        cause, tail = trace.strip().splitlines()[-1], tail_of(trace)
        self.outcome.failures.append(
            FailedLeaf(row=row, fold=fold, metric=metric, side=side, cause=cause, tail=tail)
        )


def _model_key(leaf: Leaf, base: Any) -> str:
    """The key of the fitted whole: its states, its names, and its settings that change no number."""
    settings = [(name, value if type(value) in SCALARS else None) for name, value in _deep(base)]
    return step_key("model", b"", tuple(node.key for node in leaf.fitted.nodes()), encode(settings)).hex()


def _deep(estimator: Any) -> list[tuple[str, Any]]:
    return sorted(estimator.get_params(deep=True).items())
