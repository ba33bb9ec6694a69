"""An estimator with data, from flow parameters to an objective, and back to plain parameters.

Rule: everything is checked here, each option of the space once, before anything is submitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from prefect_tune.data import DataRef
from prefect_tune.draws import resolve_scorers
from prefect_tune.errors import StoreUnavailable, UserError, did_you_mean
from prefect_tune.flows.places import open_store
from prefect_tune.flows.saved import data_form
from prefect_tune.request import reference, resolve_data, revive
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.search import SearchSpec, prepare
from prefect_tune.space import SearchSpace
from prefect_tune.space.categories import Choice, Ordinal
from prefect_tune.tasks.objective.folds import FOLD, OWN, FoldObjective, flat
from prefect_tune.text import short
from prefect_tune.trials import Config
from prefect_tune.tuning.metrics import ARTEFACTS, COST
from prefect_tune.tuning.objective import Kind, Objective

DATA = ("X", "y", "cv", "scoring", "fit_params")
RARE = 1000
"""Number of values of a domain above which hardly any comes twice."""


def is_estimator(given: Any) -> bool:
    """Whether an objective is a scikit-learn estimator.

    Raises:
        UserError: it is the class of one.
    """
    like = hasattr(given, "get_params") and hasattr(given, "fit")
    if like and isinstance(given, type):
        name = given.__name__
        raise UserError(f"objective: {name} is a class; pass an estimator, such as {name}().")
    return like


def no_data(asked: dict[str, Any]) -> None:
    """Nothing; a function was given none of what only an estimator takes.

    Raises:
        UserError: it was.
    """
    for name in DATA:
        if asked.get(name) is not None:
            raise UserError(
                f"{name}: a function gets its configuration only; bind data to it with functools.partial, or "
                "pass a scikit-learn estimator as the objective."
            )


def fold_objective(estimator: Any, asked: dict[str, Any], space: SearchSpace, store: Any) -> Objective:
    """The objective that cross-validates an estimator, its data in the store.

    Raises:
        UserError: for anything that cannot work.
    """
    if asked.get("X") is None:
        raise UserError(
            "X: an estimator is searched by cross-validation, which needs data; pass X= and, but for "
            "unsupervised ones, y=."
        )
    try:
        spec = _spec(estimator, asked, space, store)
    except StoreUnavailable:  # the disk is full: the store is only read from now on
        store = open_store(store)
        spec = _spec(estimator, asked, space, store)
    if wrong := sorted({FOLD, COST, *ARTEFACTS} & set(spec.metrics)):
        raise UserError(
            f"scoring: {wrong[0]!r} has a meaning of its own in reports; name the metric otherwise."
        )
    function = FoldObjective(spec, store, frozenset(_endless(space)))
    return Objective(function=function, kind=Kind.YIELDS, takes=frozenset({"resume"}), resource=FOLD)


def is_folds(objective: Objective) -> bool:
    """Whether the objective is an estimator's."""
    return isinstance(objective.function, FoldObjective)


def store_of(objective: Objective, store: Any) -> Any:
    """The store that has an estimator's data, which is another one if the disk was full; else `store`."""
    return _folds(objective).store if is_folds(objective) else store


def metric_of(objective: Objective, asked: dict[str, Any]) -> str | None:
    """The metric to judge by.

    Raises:
        UserError: none is named where there are several, or one that there is not.
    """
    given = asked.get("metric")
    if not is_folds(objective):
        return given
    spec = _folds(objective).spec
    if given is None and len(spec.metrics) == 1:
        return spec.metrics[0]
    if given is None:
        raise UserError(f"metric: scoring gives several; name one of {', '.join(spec.metrics)}.")
    own = spec.metrics == ("score",) and type(spec.scorer).__module__ != "sklearn.metrics._scorer"
    if not own and given not in {*spec.metrics, *(f"{OWN}{name}" for name in spec.metrics)}:
        raise UserError(
            f"metric: scoring has no {given!r}.{did_you_mean(given, spec.metrics)} It has: "
            f"{', '.join(spec.metrics)}."
        )
    return given


def folds_of(objective: Objective, asked: dict[str, Any]) -> int | None:
    """Number of folds, where a trial is complete; None for a function.

    Raises:
        UserError: another maximum was asked for.
    """
    if not is_folds(objective):
        return None
    folds, given = _folds(objective).folds, asked.get("max_resource")
    if given is not None and given != folds:
        raise UserError(f"max_resource: cv makes {folds} folds, got {given!r}; leave it out and set cv.")
    return folds


def fold_schedule(objective: Objective, schedule: Any) -> Any:
    """The schedule, told how many folds there are if it did not know.

    Raises:
        UserError: it copies states, or has another maximum.
    """
    if not is_folds(objective):
        return schedule
    folds, most = _folds(objective).folds, getattr(schedule, "max_resource", None)
    if hasattr(schedule, "child"):
        raise UserError(
            f"schedule: {short(schedule)} copies states of training, and folds have none; take median, "
            "wilcoxon or asha."
        )
    if most not in (None, folds):
        raise UserError(f"schedule: max_resource is {most}, but cv makes {folds} folds; make them equal.")
    return dataclasses.replace(schedule, max_resource=folds) if isinstance(schedule, FIFO) else schedule


def data_parameters(asked: dict[str, Any], objective: Objective, store: Any) -> dict[str, Any]:
    """The data as flow parameters: references, whatever was given."""
    if not is_folds(objective):
        return {}
    spec = _folds(objective).spec
    given = asked.get("fit_params")
    return {
        "X": data_form(asked["X"], spec.X),
        "y": spec.y.to_json() if isinstance(spec.y, DataRef) else None,
        "fit_params": given and {name: reference(value, store) for name, value in given.items()},
    }


# -- parts -------------------------------------------------------------------------------------------


def _folds(objective: Objective) -> FoldObjective:
    assert isinstance(objective.function, FoldObjective)
    return objective.function


def _spec(estimator: Any, asked: dict[str, Any], space: SearchSpace, store: Any) -> SearchSpec:
    from sklearn.model_selection import GridSearchCV

    known = estimator.get_params(deep=True)
    search = GridSearchCV(
        estimator,
        [{name: [value] for name, value in flat(config, known).items()} for config in _kinds(space)],
        scoring=revive(asked.get("scoring"), store, "scoring"),
        cv=revive(asked.get("cv"), store, "cv"),
        error_score="raise",
        refit=False,
    )
    resolve_scorers(search)
    try:
        search._validate_params()
    except ValueError as error:
        raise UserError(str(error)) from error
    X, y = resolve_data(asked["X"], asked.get("y"), store)
    params = revive(asked.get("fit_params") or {}, store)
    options = {"params": params, "seed": asked.get("seed", 0), "name": asked.get("name") or "tune"}
    return prepare(search, X, y, store=store, **options)


def _kinds(space: SearchSpace) -> Sequence[Config]:
    """Configurations that show every option of every choice once, where it can be reached."""
    middle = {leaf.path: leaf.domain.unit(leaf.domain.default()) for leaf in space.leaves}
    choices = {leaf.path: leaf for leaf in space.leaves if isinstance(leaf.domain, Choice | Ordinal)}
    found = [space.default()]
    for leaf in choices.values():
        above = {path: choices[path].domain.unit(index) for path, index in leaf.conditions}
        found += [
            space.from_units({**middle, **above, leaf.path: leaf.domain.unit(member)})
            for member in leaf.domain.members()
        ]
    return found


def _endless(space: SearchSpace) -> set[str]:
    """Names of parameters that hardly ever get the same value twice."""
    leaves = [leaf.path for leaf in space.leaves if leaf.domain.size is None or leaf.domain.size > RARE]
    return {path.rpartition("/")[2] for path in (*leaves, *space.derived)}
