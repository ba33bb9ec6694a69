"""What the keys of a search over an objective are made of; see `explained`.

Rule: of an estimator that is cross-validated fold by fold, the keys of the folds are told as well; they are
those of a grid search over the same configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.explained import MOST, Book, enter_leaf, enter_model, fold_facts
from prefect_tune.identity import encode as enc
from prefect_tune.identity.code import session


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsOf:
    """The folds of an objective that is an estimator.

    Attributes:
        spec: its `SearchSpec`, without candidates.
        compiler: of that.
        parameters: configuration -> the estimator's parameters; None for those without identity.
    """

    spec: Any
    compiler: Any
    parameters: Callable[[Any], dict[str, Any] | None]

    def leaves(self, config: Any, folds: Iterable[int]) -> list[Any]:
        """The scored fits of a configuration."""
        parameters = self.parameters(config)
        return [] if parameters is None else [self.compiler.leaf(parameters, fold) for fold in folds]


def trials_book(
    settings: Any,
    objective: str,
    trials: Sequence[Any],
    chain: Callable[[int], Any],
    folds: FoldsOf | None = None,
) -> Book:
    """The document of a search over an objective.

    Args:
        settings: its `TuneSettings`.
        objective: the objective's name.
        trials: that were started.
        chain: index of a trial -> its `Chain`.
        folds: those of an estimator.
    """
    empty: dict[str, Any] = {"versions": {}, "config": {}, "metrics": {}, "data": {}, "private": []}
    facts = {
        **(fold_facts(folds.spec, folds.compiler) if folds is not None else empty),
        "name": settings.name,
        "what": "an objective",
        "candidates": len(trials),
        "folds": 1 if folds is None else folds.spec.n_splits,
        "seed": settings.seed,
    }
    book = Book(facts, enc.encode if folds is None else folds.spec.identifier.frame)
    stem = book.stem("objective", objective, settings.objective, {})
    for trial in trials:
        one, levels = chain(trial.index), [report.resource for report in list(trial.reports)]
        step = book.configured(stem, dict(trial.config), seeded=True)
        at = book.trained(bytes.fromhex(one.key), step, [], 0)
        for level in levels:
            keys = {"report": one.report(level), "state": one.state(level), "artefacts": one.artefacts(level)}
            book.scores += [[key, name, at, level] for name, key in keys.items() if key]
        book.scores.append([one.end(), "end", at, None])
    if folds is not None and len(trials) * folds.spec.n_splits <= MOST:
        _enter_folds(book, folds, trials)
    return book


def _enter_folds(book: Book, folds: FoldsOf, trials: Sequence[Any]) -> None:
    """The folds that the trials have reported, and the one that each may be at."""
    spec = folds.spec
    with session(spec.identifier._code):
        for trial in trials:
            reached = min(len(trial.reports) + 1, spec.n_splits)
            for leaf in folds.leaves(trial.config, range(reached)):
                enter_leaf(book, leaf, list(spec.metrics))


def refitted(book: Book, folds: FoldsOf, config: Any, key: str) -> Book:
    """The document with the model that was fitted on all rows."""
    with session(folds.spec.identifier._code):
        for leaf in folds.leaves(config, [-1]):
            enter_model(book, folds.compiler, leaf, key)
    return book
