"""Every error a user can meet, as a small tree: the user's mistake, a candidate's failure, infrastructure.

Rule: the message says the place, the value and the next move; the same facts are attributes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the closest of the known names, or nothing; upper and lower case are alike."""
    lowered = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f" Did you mean {lowered[near[0]]!r}?" if near else ""


class TuneError(Exception):
    """Root of the errors that prefect_tune raises itself."""


class UserError(TuneError, ValueError):
    """A mistake in what was asked for; raised before any work is submitted."""


class SpaceError(UserError):
    """The parameter grid or the distributions describe no search."""


class ScheduleError(UserError):
    """A schedule is asked for with a setting that plans nothing.

    Args:
        name: the setting, as the schedule calls it.
        rule: what it must be, e.g. `must be an int of at least 1`.
        value: what was given.
        advice: the next move.
    """

    def __init__(self, name: str, rule: str, value: object, advice: str) -> None:
        self.name, self.rule, self.value, self.advice = name, rule, value, advice
        super().__init__(f"{name}: {rule}, got {value!r}; {advice}.")

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.rule, self.value, self.advice)

    def renamed(self, names: Mapping[str, str]) -> ScheduleError:
        """The same error under the name that the caller's own signature uses, e.g. `max_iter`."""
        return type(self)(names.get(self.name, self.name), self.rule, self.value, self.advice)


class UnknownParameter(UserError):
    """A candidate names a parameter that the estimator does not have.

    Args:
        owner: the step or class that was asked.
        name: the parameter as written.
        known: the parameters that exist there.
    """

    def __init__(self, owner: str, name: str, known: Iterable[str]) -> None:
        self.owner, self.name, self.known = owner, name, sorted(known)
        super().__init__(
            f"{owner} has no parameter {name!r}.{did_you_mean(name, self.known)} "
            f"It has: {', '.join(self.known) or 'none'}."
        )


class DataError(UserError):
    """The data, the folds or the fit parameters do not fit together."""


class ScoringError(UserError):
    """A scorer is unknown, or `refit` and `scoring` do not fit together."""


class NotPicklable(UserError):
    """The estimator, scorer or parameter value cannot travel to a worker."""


class NotAllowed(UserError):
    """Parameters of a deployment or a saved block name code outside the allowed modules.

    Args:
        place: the parameter that names it.
        name: the dotted name as written.
        why: what is wrong with it, in words.
        allowed: the modules that may be named.
        move: what to do where the flow runs.
    """

    def __init__(self, place: str, name: str, why: str, allowed: Iterable[str], move: str) -> None:
        self.place, self.name, self.why, self.allowed, self.move = place, name, why, tuple(allowed), move
        super().__init__(
            f"{place}: {name!r} {why}. Parameters of a deployment or a saved block may name classes of "
            f"{', '.join(self.allowed)}; to allow more, {move} where the flow runs."
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.place, self.name, self.why, self.allowed, self.move)


class MissingDependency(UserError, ImportError):
    """A package that this request needs is not installed."""


class Uncacheable(TuneError):
    """A value has no stable identity; the step that holds it runs, but is not shared.

    Args:
        path: where the value sits, e.g. `params['clf'].kernel`.
        reason: why it has no identity, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path or 'value'}: {reason}")


class CandidateFailed(TuneError):
    """A candidate took its workers down and `error_score` asks to stop; the cause is chained.

    A candidate that raises stops a search with what it raised.

    Args:
        candidate: its row in the table.
        params: its parameters, as short text.
        split: number of the split.
        reason: what happened.
    """

    def __init__(self, candidate: int, params: str, split: int, reason: str) -> None:
        self.candidate, self.params, self.split, self.reason = candidate, params, split, reason
        super().__init__(
            f"candidate {candidate} ({params or 'no parameters'}), split {split}: {reason}. Give the workers "
            "more memory or leave it out; with a number as error_score the search goes on without it."
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.candidate, self.params, self.split, self.reason)


class InfrastructureError(TuneError, RuntimeError):
    """The cluster, the API or the store failed; run the same command again to go on."""


class ClusterUnreachable(InfrastructureError):
    """No Dask scheduler answers at the address."""


class ApiUnreachable(InfrastructureError):
    """The Prefect API went away while a search ran.

    Args:
        url: of the API.
        store: the folder that has what was trained.
    """

    def __init__(self, url: str, store: object) -> None:
        self.url, self.store = url, store
        super().__init__(
            f"the Prefect API at {url} no longer answers, so the search cannot report that it ended. Every "
            f"round that was trained is in the store at {store}: start the API and run the same search "
            "again; it trains only what is missing."
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.url, self.store)


class NotApproved(TuneError, RuntimeError):
    """Nobody said in time whether the model is to be made; everything before it is in the store.

    It is no TimeoutError: Prefect would take that for the end of the time that the flow itself may run.
    """


class StoreUnavailable(InfrastructureError):
    """The store's folder cannot be used; the search can run without it."""
