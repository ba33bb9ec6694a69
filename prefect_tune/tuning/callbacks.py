"""Callbacks: objects that a search over an objective tells of what happens.

Rule 1: they are told in the process that runs the flow, one after another, never in a worker. They look on:
nothing that they do changes the search, and one that raises is reported while the search goes on.
Rule 2: a search that goes on after a stop, or that finds everything in its journal, tells all of it again.
Whoever writes somewhere must know what is there already; `SearchInfo.key` and `Trial.index` are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_tune.errors import UserError
from prefect_tune.text import short

if TYPE_CHECKING:
    from prefect_tune.tuning.result import TuneResult
    from prefect_tune.tuning.trial import Trial, TrialReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchInfo:
    """What a search is, before anything has run.

    Attributes:
        key: what tells it from others, in hex; a search that is run again to go on has the same.
        name: of the search.
        objective: what people call it.
        metric: that it looks at; None if the first report names it.
        mode: `min` or `max`.
        sampler, schedule: in words.
        seed: of the search.
        resume: whether it goes on where an earlier run of it was stopped.
    """

    key: str
    name: str
    objective: str = ""
    metric: str | None = None
    mode: str = "min"
    sampler: str = ""
    schedule: str = ""
    seed: int = 0
    resume: bool = True


class TuneCallback:
    """Told of what happens in a search over an objective; every method may be left out.

    Pass objects with some of these methods as `tune(..., callbacks=[...])`; they need not inherit from this
    class. Trials are the search's own: read them during the call, and keep copies of what is needed later.
    """

    def search_started(self, search: SearchInfo) -> None:
        """The search begins, or goes on."""

    def trial_started(self, trial: Trial) -> None:
        """A trial has its configuration; the first that is told of it."""

    def trial_reported(self, trial: Trial, report: TrialReport) -> None:
        """A report has come in, once for each, by the order of arrival.

        Reports of one stretch of training come together, when the stretch is done. `report.late` says that
        the trial no longer ran.
        """

    def trial_ended(self, trial: Trial) -> None:
        """A trial was stopped, is complete or has failed. One that waits for a promotion has not ended."""

    def search_ended(self, result: TuneResult) -> None:
        """The search has its result; the last call."""

    def search_interrupted(self, error: BaseException) -> None:
        """The search ends by an error or by Ctrl-C instead of a result; the last call. Be quick."""


METHODS = tuple(name for name in vars(TuneCallback) if not name.startswith("_"))


def callbacks_of(given: Any) -> tuple[Any, ...]:
    """The callbacks that `given` is: None, an object, or several.

    Raises:
        UserError: one of them is a class, or has no method that a search would call.
    """
    if given is None:
        return ()
    found = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    for place, callback in enumerate(found):
        if isinstance(callback, type):
            raise UserError(
                f"callbacks[{place}]: {callback.__name__} is a class; give an object: {callback.__name__}()."
            )
        if not any(callable(getattr(callback, name, None)) for name in METHODS):
            raise UserError(
                f"callbacks[{place}]: {short(callback)} has none of the methods that a search calls: "
                f"{', '.join(METHODS)}."
            )
    return found
