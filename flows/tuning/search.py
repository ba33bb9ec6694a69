"""A search over an objective that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.identifier import Identifier
from prefect_tune.tasks.objective.protocol import Limits
from prefect_tune.text import short
from prefect_tune.tuning.callbacks import SearchInfo
from prefect_tune.tuning.objective import Objective
from prefect_tune.tuning.settings import TuneSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSearch:
    """A search over an objective that is ready to run.

    Attributes:
        settings: the question.
        objective: what trials run.
        identifier: what has no identity.
        store: where reports, states and the journal lie.
        scope: of the store.
        limits: of one job.
        resources: Dask resources of one job.
        max_concurrent: trials at once; None takes as many as the cluster has slots.
        resume: whether to go on from the journal.
        callbacks: told of what happens.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
        refit: whether the best configuration is fitted on all rows in the end.
        started: clock at the call.
        approve: seconds that a person has to approve the best configuration before it; 0: nobody is asked.
    """

    settings: TuneSettings
    objective: Objective
    identifier: Identifier
    store: Any
    scope: str
    limits: Limits
    resources: Mapping[str, float]
    max_concurrent: int | None
    resume: bool
    callbacks: Sequence[Any]
    verbose: int
    refit: bool
    started: float
    approve: int = 0

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def info(self) -> SearchInfo:
        """What callbacks are told of the search before anything has run."""
        settings = self.settings
        return SearchInfo(
            key=settings.key(),
            name=settings.name,
            objective=self.objective.name,
            metric=settings.metric,
            mode=settings.mode,
            sampler=short(settings.sampler, 200),
            schedule=short(settings.schedule, 200),
            seed=settings.seed,
            resume=self.resume,
        )
