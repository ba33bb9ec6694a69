"""Records, questions and small searches for the tests of the samplers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from prefect_tune.samplers.contract import NoSuggestion, Question, Sampler
from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config, TrialRecord, TrialState

Loss = Callable[[Any], float]


def _record(index: int, config: Config, state: str = "completed", **fields: Any) -> TrialRecord:
    return TrialRecord(index, config, TrialState(state), **fields)


def _ended(index: int, config: Config, loss: float) -> TrialRecord:
    return _record(index, config, "completed", losses={1: loss}, final=loss)


def _question(
    space: SearchSpace, records: Sequence[TrialRecord] = (), index: int | None = None, **fields: Any
) -> Question:
    place = len(records) if index is None else index
    return Question(
        **{"index": place, "space": space, "records": records, "levels": (1,), "seed": 0, **fields}
    )


def _search(
    sampler: Sampler, space: SearchSpace, loss: Loss, trials: int, *, seed: int = 0, goal: float = -math.inf
) -> list[TrialRecord]:
    """A sequential search of so many trials; it ends early at the goal or when the space is used up."""
    records: list[TrialRecord] = []
    for index in range(trials):
        config = sampler.suggest(_question(space, records, seed=seed))
        if isinstance(config, NoSuggestion):
            break
        records.append(_ended(index, config, loss(config)))
        if records[-1].final <= goal:
            break
    return records


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    """A trial: `record(0, {"x": 1.0}, "stopped", losses={1: 0.5})`."""
    return _record


@pytest.fixture
def ended() -> Callable[..., TrialRecord]:
    """A completed trial: `ended(0, {"x": 1.0}, 0.5)`."""
    return _ended


@pytest.fixture
def question() -> Callable[..., Question]:
    """A question to a sampler: `question(space, records, seed=3)`."""
    return _question


@pytest.fixture
def search() -> Callable[..., list[TrialRecord]]:
    """A sequential search: `search(sampler, space, loss, 20, seed=1)`."""
    return _search
