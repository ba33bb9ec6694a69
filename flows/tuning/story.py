"""What the keys of a running search over an objective are made of, as far as it has come."""

from __future__ import annotations

from typing import Any

from prefect_tune.explained import Book
from prefect_tune.explained_trials import FoldsOf, refitted, trials_book
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.identity import encode as enc
from prefect_tune.search import unfitted
from prefect_tune.tasks.objective.folds import FoldObjective
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.tuner import Tuner


class Story:
    """Tells the trials of a search, and the folds of each if the objective is an estimator.

    Attributes:
        result: once there is one with a model.
    """

    def __init__(self, search: TuneSearch, tuner: Tuner) -> None:
        self.search, self.tuner = search, tuner
        self.result: TuneResult | None = None
        function: Any = search.objective.function
        self._folds = folds_of(function) if isinstance(function, FoldObjective) else None

    def book(self) -> Book:
        """The document of the search so far."""
        search, tuner = self.search, self.tuner
        book = trials_book(
            search.settings, search.objective.name, list(tuner.trials), tuner.chain, self._folds
        )
        result = self.result
        if self._folds is not None and result is not None and result.model is not None:
            refitted(book, self._folds, result.chosen_config, result.model.key)
        return book


def folds_of(function: FoldObjective) -> FoldsOf:
    """The folds of an estimator as an objective."""
    spec = function.spec
    probe = spec.identifier.within(b"probe")

    def parameters(config: Any) -> dict[str, Any] | None:
        found = unfitted([enc.plain(function.parameters(config))])[0]
        return None if any(probe.enrol(value, name) for name, value in found.items()) else found

    return FoldsOf(spec=spec, compiler=spec.compiler(), parameters=parameters)
