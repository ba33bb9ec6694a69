"""Every point of a grid, in order.

Rule 1: leaves marked `grid([...])` are crossed, the last path varying fastest; the other leaves are drawn.
Rule 2: a finite space without such leaves is a grid as a whole.
Rule 3: after `n_samples` rounds the sampler is exhausted; points to evaluate come first and on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prefect_tune.errors import SpaceError
from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.samplers.distinct import distinct
from prefect_tune.samplers.settings import whole
from prefect_tune.space import Grid as GridLeaf
from prefect_tune.space import SearchSpace

_MOST = 10**6


@dataclass(frozen=True, slots=True)
class Grid:
    """The points of a grid, one after the other.

    Attributes:
        n_samples: rounds through the grid. Leaves that are drawn get new values in each; where there are
            none, every configuration comes that often, for objectives with noise.
    """

    n_samples: int = 1

    def __post_init__(self) -> None:
        whole("Grid", "n_samples", self.n_samples, 1)

    @property
    def startup(self) -> int:
        """0: there is no model."""
        return 0

    def suggest(self, question: Question) -> Suggestion:
        """The next point, or EXHAUSTED.

        Raises:
            SpaceError: the space has neither grid leaves nor a list of all its configurations.
        """
        space, position = question.space, question.index - question.points
        if space.grid_size is None:
            every = _every(space)
            if position >= len(every) * self.n_samples:
                return _DONE
            return space.assemble(space.values(every[position % len(every)]))  # nobody gets the list's own
        if position >= space.grid_size * self.n_samples:
            return _DONE
        if all(isinstance(leaf.domain, GridLeaf) for leaf in space.leaves):
            return at_grid_point(question, space.draw(question.seed, question.index))
        return distinct(
            question,
            lambda attempt: at_grid_point(question, space.draw(question.seed, question.index, attempt)),
        )

    def identity(self) -> dict[str, object]:
        """The name and `n_samples`."""
        return {"sampler": "grid", "n_samples": int(self.n_samples)}


_DONE = NoSuggestion.EXHAUSTED


def at_grid_point(question: Question, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with its grid leaves at the point of this trial, points to evaluate not counted."""
    space = question.space
    point = space.grid_point(question.index - question.points)
    return space.assemble(space.values(config) | point) if point else config


@lru_cache(maxsize=2)
def _every(space: SearchSpace) -> list[dict[str, Any]]:
    """Every configuration of a finite space."""
    if space.size is not None and space.size > _MOST:
        raise SpaceError(
            f"Grid: the space has {space.size} configurations, more than {_MOST}; use Random or Sobol."
        )
    return list(space.every())
