"""A scikit-learn estimator as an objective: one configuration, cross-validated fold by fold.

Rule 1: steps and scores have the keys that a grid search gives them. What a grid search, or another trial,
has found out is looked up first; what is found out here is stored for them.
Rule 2: the report after fold k is the mean over the folds so far. A trial that comes to its end reports what
scikit-learn's `cross_val_score` gives.
Rule 3: steps before the predicting one that other trials are likely to need are stored, and run once: where
two trials want the same one at the same time, the second waits for the first. What hangs on a value of an
endless domain is not stored for others, for hardly any trial draws it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefect_tune.batches import Batch
from prefect_tune.identifier import Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.nodes import Leaf, StepNode
from prefect_tune.plan import is_pick
from prefect_tune.search import SearchSpec, metric_digests, unfitted
from prefect_tune.store import Record
from prefect_tune.tasks.execute import Evaluator
from prefect_tune.tasks.leaves import LeafRunner
from prefect_tune.tasks.memo import Memo, Outcome
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.threads import pin_threads
from prefect_tune.trials import Config

MEMO_BYTES = 256 * 2**20
FOLD = "fold"
AHEAD = "fold ahead"
"""In a configuration: the one fold that is to be worked out, for a trial that will come to it."""
OWN = "fold_"
"""Before the name of a metric: its value on the latest fold alone."""

Scores = dict[str, float]


class FoldObjective:
    """Called with a configuration: reports after each fold.

    Args:
        spec: the search, without candidates.
        store: where its data lies and scores go.
        endless: names of the parameters whose domains have no end, so that no value comes twice.

    Attributes:
        folder: where trials of one run take turns; empty: they do not.
    """

    def __init__(self, spec: SearchSpec, store: Any, endless: frozenset[str] = frozenset()) -> None:
        self.spec = dataclasses.replace(spec, candidates=[], drawn=[])
        self.store, self.endless, self.folder = store, endless, ""
        self.__name__ = type(spec.estimator).__name__
        self._cell: FoldEvaluator | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cell": None}

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self.spec.n_splits

    def tune_identity(self, identifier: Identifier) -> bytes:
        """The frame of estimator, folds, data and metrics."""
        spec, folds = self.spec, self.spec.folds
        identifier.uncacheable.update(spec.uncacheable())
        digest = enc.digest_frames(
            "folds/v1",
            identifier.frame(spec.estimator, "estimator"),
            enc.encode([folds.target, *folds.train, *folds.test, folds.score_params]),
            enc.encode(dict(folds.fit_params)),
            enc.encode(metric_digests(spec.scorer, identifier)),
        )
        return enc.ref(digest)

    def parameters(self, config: Config) -> dict[str, Any]:
        """The estimator's parameters that a configuration sets; see `flat`."""
        return flat(config, self.spec.estimator.get_params(deep=True))

    def __call__(
        self, config: Config, resume: Sequence[Scores] | None = None
    ) -> Generator[tuple[dict[str, float], list[Scores]]]:
        """A report after each fold, with the scores of all folds so far as its state."""
        config = dict(config)
        ahead = config.pop(AHEAD, None)
        parameters = unfitted([enc.plain(self.parameters(config))])[0]
        evaluator = self._evaluator(parameters)
        if ahead is not None:
            scores = [evaluator.scores(parameters, ahead)]
            yield report(scores), scores
            return
        found = [*(resume or ())]
        for fold in range(len(found), self.folds):
            found.append(evaluator.scores(parameters, fold))
            yield report(found), [*found]

    def _evaluator(self, parameters: Mapping[str, Any]) -> FoldEvaluator:
        """This process's evaluator; a new one, which shares nothing, for parameters without identity."""
        probe = self.spec.identifier.within(b"probe")
        if any(probe.enrol(value, name) for name, value in parameters.items()):
            own = self.spec.identifier.within(secrets.token_bytes(16))
            return FoldEvaluator(self, dataclasses.replace(self.spec, identifier=own))
        if self._cell is None:
            self._cell = FoldEvaluator(self, self.spec)
        return self._cell


class FoldEvaluator(Evaluator):
    """Evaluates configurations fold by fold, in one process."""

    def __init__(self, objective: FoldObjective, spec: SearchSpec) -> None:
        self._row: list[Mapping[str, Any]] = [{}]  # the candidate that a batch of one asks for
        super().__init__(dataclasses.replace(spec, candidates=self._row), objective.store, Memo(MEMO_BYTES))
        self.folder, self.endless = objective.folder, objective.endless

    def scores(self, parameters: Mapping[str, Any], fold: int) -> Scores:
        """Metric -> score on one fold, known or worked out now.

        Raises:
            Exception: the user's own.
        """
        from sklearn import config_context

        pin_threads(1)
        with config_context(**self.spec.config):
            leaf = self.compiler.leaf(parameters, fold)
            if (known := self._known(leaf)) is None:
                with self._turn(leaf.key):
                    known = self._known(leaf)
                    if known is None:
                        known = {record.key: record for record in self._run_leaf(leaf, parameters)}
        values = {
            name: known[key].values["score"]
            for name, key in zip(self.spec.metrics, leaf.score_keys, strict=True)
        }
        found: Scores = {}
        for name, value in values.items():  # a scorer of the user's own may return several, by name
            found |= value if isinstance(value, dict) else {name: value}
        return found

    def _known(self, leaf: Leaf) -> dict[str, Record] | None:
        """The scores of a fold, None unless the store has them all."""
        found = self.store.lookup(leaf.score_keys, self.spec.scope)
        return found if all(key in found for key in leaf.score_keys) else None

    def _run_leaf(self, leaf: Leaf, parameters: Mapping[str, Any]) -> list[Record]:
        """The records of the scores, in the store by now."""
        self._row[:] = [parameters]
        final = leaf.final.key if leaf.final is not None else b""
        stored = final and self.store.lookup([final.hex()], self.spec.scope)
        self.keep = frozenset(node.key for node in leaf.prefix if self._recurs(node))
        self.known = frozenset([final]) if stored else frozenset()
        self.ran.clear()
        outcome = BatchOutcome()
        try:
            LeafRunner(self, Batch(index=0, leaves=((0, leaf.fold),)), outcome).run()
        finally:
            self.memo.forget_failures()
        self.store.put_pack(outcome.records, self.spec.scope)
        return outcome.records

    def _recurs(self, node: StepNode) -> bool:
        """Whether another trial may well need the same step on the same rows."""
        return not any(
            (f"{above.choice.step.path}__{name}" if above.choice.step.path else name) in self.endless
            for above in node.ancestors()
            if above.choice is not None
            for name in above.choice.overrides
        )

    def _compute(self, node: StepNode) -> Outcome:
        if node.key not in self.keep or is_pick(node):
            return super()._compute(node)
        with self._turn(node.key) as waited:
            found = self._stored(node)
            if found is not None or not waited:
                return found or super()._compute(node)
        return super()._compute(node)  # whoever was first has failed, or the output is not worth storing

    def _turn(self, key: bytes) -> contextlib.AbstractContextManager[bool]:
        """Keeps others from working out the same; whether somebody else has had the turn before.

        Turns are taken from a step to its inputs, never the other way round: nobody waits in a circle.
        """
        if not self.folder:
            return contextlib.nullcontext(False)
        return turn(Path(self.folder) / f"{key.hex()}.turn")


def report(found: Sequence[Scores]) -> dict[str, float]:
    """The report after so many folds: every metric's mean, and its value on the latest fold.

    >>> report([{"score": 0.5}, {"score": 1.0}])
    {'fold': 2, 'score': 0.75, 'fold_score': 1.0}
    """
    means = {name: float(np.mean([scores[name] for scores in found])) for name in found[-1]}
    return {FOLD: len(found), **means, **{f"{OWN}{name}": value for name, value in found[-1].items()}}


def flat(config: Config, known: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a configuration sets.

    A dict under a name that is no parameter is a branch of the space, and holds parameters of its own.

    Args:
        known: the estimator's parameters.

    >>> flat({"C": 1, "weights": {0: 1}, "how": {"kernel": "rbf", "gamma": 2}}, {"weights": None})
    {'C': 1, 'weights': {0: 1}, 'kernel': 'rbf', 'gamma': 2}
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        branch = isinstance(value, Mapping) and name not in known and "__" not in name
        if branch and all(isinstance(inner, str) for inner in value):
            found |= flat(value, known)
        else:
            found[name] = value
    return found


@contextlib.contextmanager
def turn(path: Path) -> Iterator[bool]:
    """Whether somebody else had the turn before; nobody else has it inside the block.

    Where files cannot be locked everybody has it at once.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield False
        return
    waited = False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield waited
    finally:
        os.close(descriptor)  # which gives the turn to the next
