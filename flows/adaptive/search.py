"""An adaptive search as its flow holds it: ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_tune.races import Drawn
from prefect_tune.tasks.isolation.limits import StepLimits
from prefect_tune.training import TrainingSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Which checkpoints stay.

    Attributes:
        per_candidate: the latest so many of each candidate; None: all of them.
        per_search: those of the best so many candidates; None: of all.
    """

    per_candidate: int | None = None
    per_search: int | None = None

    @property
    def limited(self) -> bool:
        return self.per_candidate is not None or self.per_search is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSearch:
    """An adaptive search that is ready to run.

    Attributes:
        spec: the question, the data by reference, the candidates of all brackets.
        drawn: the brackets.
        store: where results are found and left.
        refit: whether the best candidate is trained once more, on all rows.
        keep: which checkpoints stay when the search is over.
        resources: Dask resources of the step that is trained.
        limits: what each step and each call of `partial_fit` may use.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
        started: clock at the call.
        approve: seconds that a person has to approve the best candidate; 0: nobody is asked.
    """

    spec: TrainingSpec
    drawn: Drawn
    store: Any
    refit: bool
    keep: Keep
    resources: Mapping[str, float]
    limits: StepLimits
    verbose: int
    started: float
    approve: int = 0
