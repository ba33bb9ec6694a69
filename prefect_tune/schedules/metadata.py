"""What a search will do, counted before it runs, in the words of dask-ml's `metadata`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefect_tune.schedules.rungs import Bracket


def bracket_metadata(bracket: Bracket) -> dict[str, Any]:
    """Name, candidates, training calls and rungs of one bracket."""
    return {
        "bracket": bracket.name,
        "n_models": bracket.size,
        "partial_fit_calls": bracket.calls,
        "decisions": list(bracket.resources),
    }


def hyperband_metadata(brackets: Iterable[Bracket]) -> dict[str, Any]:
    """Candidates and training calls of all brackets together and, the passive one first, of each."""
    parts = [bracket_metadata(bracket) for bracket in brackets]
    return {
        "n_models": sum(part["n_models"] for part in parts),
        "partial_fit_calls": sum(part["partial_fit_calls"] for part in parts),
        "brackets": parts[::-1],  # hyperband lists the most aggressive first
    }
