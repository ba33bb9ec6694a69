"""What every sampler is asked, and what it may answer.

Rule: a suggestion is a pure function of the question. A sampler keeps nothing between two questions but
caches that could be thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config, TrialRecord


class NoSuggestion(Enum):
    """Why there is no configuration."""

    WAIT = "wait"
    """Not now: a limit is reached, or results are awaited."""
    EXHAUSTED = "exhausted"
    """Never again: every point of a finite space has been used."""


@dataclass(frozen=True, slots=True)
class Question:
    """All that a suggestion may depend on.

    Attributes:
        index: of the trial that will get the configuration.
        space: to draw from.
        records: one per trial created before, by rising index, whatever its state.
        levels: resources at which trials are compared, rising; the last is the maximum. `(1,)` where an
            objective gives one value.
        seed: of the search.
        points: trials that the search starts with points to evaluate: designs and grids begin after them.
    """

    index: int
    space: SearchSpace
    records: Sequence[TrialRecord]
    levels: tuple[int, ...]
    seed: int
    points: int = 0


Suggestion: TypeAlias = Config | NoSuggestion


class Sampler(Protocol):
    """Draws configurations."""

    @property
    def startup(self) -> int:
        """Trials that must be usable before a model is asked; 0 where there is no model."""
        ...

    def suggest(self, question: Question) -> Suggestion:
        """The configuration of trial `question.index`, or why there is none."""
        ...

    def identity(self) -> dict[str, object]:
        """The settings that tell two samplers apart, JSON-able, with the sampler's name under `sampler`."""
        ...
