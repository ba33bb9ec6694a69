"""Quasi-random designs: points that fill the space more evenly than independent draws.

Rule 1: coordinates are the leaves by sorted path, inactive ones included, so a design does not depend on
which branch a configuration takes.
Rule 2: point i is made by winding a fresh engine forward to i: it equals the i-th of a sequential draw.
Rule 3: points to evaluate come first and take no point of the design.
Theory: Sobol, 1967, with Owen's scrambling (scipy.stats.qmc). Balance holds for powers of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import qmc

from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.samplers.distinct import distinct
from prefect_tune.samplers.grid import at_grid_point
from prefect_tune.samplers.settings import whole
from prefect_tune.trials import Config, generator


@dataclass(frozen=True, slots=True)
class Sobol:
    """A scrambled Sobol sequence; 2, 4, 8, … points are balanced in every coordinate."""

    @property
    def startup(self) -> int:
        """0: there is no model."""
        return 0

    def suggest(self, question: Question) -> Suggestion:
        """The next point of the sequence; a repetition is replaced by an independent draw."""
        return _from_design(question, lambda width, index: _point(qmc.Sobol, question.seed, width, index))

    def identity(self) -> dict[str, object]:
        """`{"sampler": "sobol"}`."""
        return {"sampler": "sobol"}


@dataclass(frozen=True, slots=True)
class Halton:
    """A scrambled Halton sequence: even at any number of points, less so with many leaves."""

    @property
    def startup(self) -> int:
        """0: there is no model."""
        return 0

    def suggest(self, question: Question) -> Suggestion:
        """The next point of the sequence; a repetition is replaced by an independent draw."""
        return _from_design(question, lambda width, index: _point(qmc.Halton, question.seed, width, index))

    def identity(self) -> dict[str, object]:
        """`{"sampler": "halton"}`."""
        return {"sampler": "halton"}


@dataclass(frozen=True, slots=True)
class LatinHypercube:
    """A Latin hypercube of `n` points: each of `n` slices of each leaf is met once.

    After `n` points the design is used up and the search ends normally; points to evaluate come on top.
    """

    n: int

    def __post_init__(self) -> None:
        whole("LatinHypercube", "n", self.n, 1)

    @property
    def startup(self) -> int:
        """0: there is no model."""
        return 0

    def suggest(self, question: Question) -> Suggestion:
        """The next point of the design; a repetition is replaced by an independent draw."""
        if question.index - question.points >= self.n:
            return NoSuggestion.EXHAUSTED
        return _from_design(question, lambda width, index: _hypercube(question.seed, width, self.n)[index])

    def identity(self) -> dict[str, object]:
        """The name and `n`."""
        return {"sampler": "latin-hypercube", "n": int(self.n)}


def _from_design(question: Question, row: Callable[[int, int], np.ndarray]) -> Suggestion:
    """The design's point for this trial; redraws are independent draws."""
    space = question.space

    def draw(attempt: int) -> Config:
        paths = [leaf.path for leaf in space.leaves]
        if attempt > 0 or not paths:
            return space.draw(question.seed, question.index, attempt)
        point = row(len(paths), question.index - question.points)
        units = {path: float(u) for path, u in zip(paths, point, strict=True)}
        return at_grid_point(question, space.from_units(units))

    return distinct(question, draw)


def _point(engine: Callable[..., Any], seed: int, width: int, index: int) -> np.ndarray:
    """Point `index` of a scrambled sequence with `width` coordinates."""
    sequence = engine(width, scramble=True, rng=generator(seed, "qmc"))
    if index > 0:  # scipy's Sobol cannot wind forward by nothing
        sequence.fast_forward(index)
    return sequence.random(1)[0]


@lru_cache(maxsize=4)
def _hypercube(seed: int, width: int, size: int) -> np.ndarray:
    """All points of a design, one a row."""
    return qmc.LatinHypercube(width, rng=generator(seed, "qmc")).random(size)
