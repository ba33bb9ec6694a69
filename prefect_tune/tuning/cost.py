"""What a search over an objective has cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneCost:
    """What a search has cost.

    Attributes:
        trained: units of the resource trained, over all processes of the search.
        known: units that the store knew already.
        task_runs: task runs of this process.
        seconds_trained: in objectives, over all processes.
        seconds_suggesting: in the sampler, in this process.
        suggestions: asked of the sampler in this process.
        seconds_active: of the search, over all its processes.
        wall_seconds: of this process.
        slots: trials that could run at once.
    """

    trained: int = 0
    known: int = 0
    task_runs: int = 0
    seconds_trained: float = 0.0
    seconds_suggesting: float = 0.0
    suggestions: int = 0
    seconds_active: float = 0.0
    wall_seconds: float = 0.0
    slots: int = 1
