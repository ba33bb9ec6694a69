"""The state of a running search as one frozen value that every display draws from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot of a running search.

    Attributes:
        name: name of the search.
        total: distinct steps in the graph.
        known: steps answered by the store.
        done: steps finished in this run.
        failed: scores of failed candidates so far.
        task_runs_done: task runs finished.
        task_runs: task runs planned so far.
        elapsed: seconds since the call.
        best_score: best mean score over candidates with all folds in, None before the first.
        best_params: its parameters, as short text.
        unit: what is counted.
        message: what the search is doing or waiting for.
        leaders: lines on the best so far, for displays that are renewed in place.
    """

    name: str
    total: int = 0
    known: int = 0
    done: int = 0
    failed: int = 0
    task_runs_done: int = 0
    task_runs: int = 0
    elapsed: float = 0.0
    best_score: float | None = None
    best_params: str = ""
    unit: str = "step"
    message: str = ""
    leaders: tuple[str, ...] = ()

    @property
    def fraction(self) -> float:
        """Share of the steps that need no more work, 0 to 1."""
        return (self.known + self.done) / self.total if self.total else 0.0
