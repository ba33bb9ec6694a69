"""From the parameters of an adaptive flow to a search that is ready to run.

Rule: everything that can be checked without the data is checked first; then the data is opened where it lies.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefect_tune.chunks import ChunkedData, Split, explicit_split, open_chunks, plan_split
from prefect_tune.chunks.features import described
from prefect_tune.data import DataRef
from prefect_tune.errors import DataError, UserError
from prefect_tune.flows.adaptive.search import AdaptiveSearch, Keep
from prefect_tune.flows.adaptive.validation import open_validation, validation_form
from prefect_tune.flows.approval import patience_of
from prefect_tune.flows.places import open_store, require_models
from prefect_tune.flows.saved import name_of, place_forms, with_chunks
from prefect_tune.races import Drawn, draw_races, random_state_of
from prefect_tune.request import column_apart, portable, reference, revive
from prefect_tune.tasks.isolation.limits import limits_of
from prefect_tune.training import last_name, own_name, prepare_training

NAMES = {
    "hyperband": "hyperband-search",
    "successive_halving": "successive-halving-search",
    "incremental": "incremental-search",
    "inverse_decay": "inverse-decay-search",
}


def ready_adaptive(kind: str, asked: dict[str, Any]) -> AdaptiveSearch:
    """An adaptive search ready to run, from flow parameters in JSON form or live.

    Raises:
        UserError: for anything that cannot work; nothing has been submitted then.
    """
    started = time.perf_counter()
    store = open_store(asked.get("store"))
    require_models(store, "training goes on from one round to the next with them")
    approve, limits = patience_of(asked), limits_of(asked)
    asked = with_chunks(revived(asked, store), store)
    drawn = drawn_races(kind, asked)
    arguments = _arguments(asked, store)
    data = open_data(asked, arguments, store)
    _check_chunks(data)
    _check_target(asked["estimator"], data)
    split = _split(asked, data, arguments, store)
    _check_samples(asked, drawn, split)
    refit = asked.get("refit")
    spec = prepare_training(
        asked["estimator"],
        drawn.candidates,
        data,
        split,
        resource=asked.get("resource") or "partial_fit",
        scoring=revive(asked.get("scoring"), store, "scoring"),
        refit=refit,
        constants={n: v for n, v in arguments.items() if n not in (*_per_row(asked, arguments), "groups")},
        row_params=_per_row(asked, arguments),
        prefix_rows=_prefix_rows(asked.get("prefix_rows")),
        error_score=np.nan if asked.get("error_score") is None else asked["error_score"],
        seed=asked.get("seed", 0),
        name=asked.get("name") or NAMES[kind],
    )
    return AdaptiveSearch(
        spec=spec,
        drawn=drawn,
        store=store,
        refit=refit is True or split.n_splits > 1,
        keep=_keep(asked.get("keep_checkpoints")),
        resources=_resources(asked.get("resources") or {}, spec.estimator),
        limits=limits,
        verbose=asked.get("verbose", 1),
        started=started,
        approve=approve,
    )


def revived(asked: Mapping[str, Any], store: Any) -> dict[str, Any]:
    """The parameters with estimator and space as live objects."""
    names = ("estimator", "parameters")
    return {**asked, **{name: revive(asked[name], store, name) for name in names}}


def drawn_races(kind: str, asked: Mapping[str, Any]) -> Drawn:
    """The brackets and their candidates.

    Raises:
        UserError: numbers that make no schedule, an empty space, or something that is no estimator.
    """
    if not hasattr(asked["estimator"], "get_params"):
        raise UserError(
            f"estimator: {asked['estimator']!r} is no estimator; pass one, or its JSON form "
            "{'class': 'dotted.Name', 'params': {...}}."
        )
    return draw_races(kind, asked, asked.get("seed", 0))


def open_data(asked: Mapping[str, Any], arguments: Mapping[str, Any], store: Any) -> ChunkedData:
    """The data in chunks.

    Raises:
        DataError: data that cannot be read, or parts that do not fit together.
    """
    X, y = asked["X"], asked.get("y")
    if isinstance(X, Mapping) and "chunks" in X:
        return ChunkedData.from_json(X)
    X, y = revive(X, store, "X"), revive(y, store, "y")
    if isinstance(X, ChunkedData):
        return X
    per_row = {name: arguments[name] for name in _per_row(asked, arguments)}
    chunk_size = asked.get("chunk_size")
    # Rows that are chosen by number are cut into chunks after they were chosen.
    whole = _by_rows(asked, arguments)
    if isinstance(y, str) and not isinstance(X, (str, Path)) and hasattr(X, "columns"):
        X, y = column_apart(X, y)
    columns = asked.get("columns")
    return open_chunks(
        X, y, store=store, params=per_row, chunk_size=None if whole else chunk_size, columns=columns
    )


def _arguments(asked: Mapping[str, Any], store: Any) -> dict[str, Any]:
    """The arguments of `partial_fit` by their names at the step that is trained, `groups` among them."""
    given = revive(asked.get("fit_params") or {}, store, "fit_params")
    last = last_name(asked["estimator"])
    named = {n if n == "groups" else own_name(n, last): v for n, v in given.items() if v is not None}
    if "classes" in named:  # a list, a tuple and an array of them are the same question
        named["classes"] = np.asarray(named["classes"]).tolist()
    return named


def _per_row(asked: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the arguments that are cut along with the rows."""
    return tuple(name for name in arguments if name.split("__")[-1] == "sample_weight")


def _by_rows(asked: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether the split chooses rows by their numbers, over the whole data."""
    cv = asked.get("cv")
    return "groups" in arguments or not (cv is None or isinstance(cv, (int, np.integer)))


def _split(asked: Mapping[str, Any], data: ChunkedData, arguments: Mapping[str, Any], store: Any) -> Split:
    """Which rows train and which are scored, one plan for all brackets."""
    state = random_state_of(asked, asked.get("seed", 0))
    validation = asked.get("validation")
    if validation is not None:
        per_row = {name: arguments[name] for name in _per_row(asked, arguments)}
        validation = open_validation(asked, per_row, described(data, store), store)
    if not _by_rows(asked, arguments):
        return plan_split(
            data,
            random_state=state,
            test_size=asked.get("test_size"),
            cv=asked.get("cv"),
            validation=validation,
        )
    if validation is not None:
        raise DataError("validation: it excludes cv= and groups; pass one of them.")
    splits = _splits_by_rows(asked, arguments, data, store, state)
    return explicit_split(data, splits, random_state=state, chunk_size=asked.get("chunk_size"))


def _splits_by_rows(
    asked: Mapping[str, Any], arguments: Mapping[str, Any], data: ChunkedData, store: Any, state: int
) -> list[tuple[Any, Any]]:
    from sklearn.base import is_classifier
    from sklearn.model_selection import GroupKFold, GroupShuffleSplit, check_cv

    from prefect_tune.chunks import read_chunk

    if data.n_chunks != 1:
        raise DataError(
            "cv: a splitter and groups choose rows by number and need data in memory; for data in chunks "
            "pass cv=5, test_size= or validation=(X, y)."
        )
    rows, cv, groups = read_chunk(data.chunks[0], store), asked.get("cv"), arguments.get("groups")
    cv = revive(cv, store, "cv")
    if groups is not None and cv is None:
        cv = GroupShuffleSplit(1, test_size=asked.get("test_size") or 0.2, random_state=state)
    elif groups is not None and isinstance(cv, (int, np.integer)):
        cv = GroupKFold(int(cv))
    splitter = check_cv(cv, rows.y, classifier=is_classifier(asked["estimator"]))
    try:
        return list(splitter.split(rows.X, rows.y, groups))
    except ValueError as error:
        raise DataError(f"cv: {type(splitter).__name__} cannot split the data: {error}") from error


def _check_chunks(data: ChunkedData) -> None:
    for number, chunk in enumerate(data.chunks):
        if chunk.rows == 0:
            place = getattr(chunk.source, "path", "")
            which = f"chunk {number} ({place})" if place else f"chunk {number}"
            raise DataError(
                f"X: {which} has no rows, so a call would train nothing. Drop it, or repartition the data."
            )


def _check_target(estimator: Any, data: ChunkedData) -> None:
    from sklearn.utils import get_tags

    source = data.chunks[0].source
    if getattr(source, "y", None) is None and getattr(source, "target", None) is None:
        tags = getattr(get_tags(estimator), "target_tags", None)
        if tags is not None and tags.required:
            raise DataError(
                f"y: {type(estimator).__name__} learns from a target, and there is none; pass y, for Parquet "
                "the name of its column."
            )


def _check_samples(asked: Mapping[str, Any], drawn: Drawn, split: Split) -> None:
    if asked.get("resource") != "n_samples":
        return
    counts = [sum(split.size(s, c, "train") for c in range(split.n_parts(s))) for s in range(split.n_splits)]
    if drawn.max_resource > min(counts):
        raise DataError(
            f"max_iter: the best candidates would train on {drawn.max_resource} rows, but a split has "
            f"{min(counts)} rows to train on. Lower max_iter, or the share of rows that is scored."
        )


def _prefix_rows(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise DataError(
            f"prefix_rows: must be an int of at least 1 or None, got {value!r}; it is the number of training "
            "rows on which the steps before the last are fitted."
        )
    return int(value)


def _keep(value: Any) -> Keep:
    """What `keep_checkpoints` means: a number of candidates, or limits by name.

    Raises:
        UserError: something else.
    """
    limits = dict(value) if isinstance(value, Mapping) else {"per_search": value}
    least = {"per_candidate": 1, "per_search": 0}
    for name, limit in limits.items():
        whole = isinstance(limit, (int, np.integer)) and not isinstance(limit, bool)
        if name not in least or (limit is not None and not (whole and limit >= least[name])):
            raise UserError(
                f"keep_checkpoints: {value!r} is neither None (keep all), a number of candidates, nor "
                "{'per_candidate': at least 1, 'per_search': at least 0}."
            )
    return Keep(**limits)


def _resources(resources: Mapping[str, Any], estimator: Any) -> Mapping[str, float]:
    """The Dask resources of the step that is trained.

    Raises:
        UserError: resources of another step.
    """
    last = last_name(estimator)
    others = [name for name in resources if name not in (last, "")]
    if others:
        raise UserError(
            f"resources: {others[0]!r} is not the step that is trained; give them as "
            f"{{{last or ''!r}: {{'GPU': 1}}}}."
        )
    return resources.get(last) or resources.get("") or {}


def adaptive_parameters(asked: Mapping[str, Any], search: AdaptiveSearch) -> dict[str, Any]:
    """`asked` as the flow run's parameters: plain JSON, with references to the store for what is live."""
    store, rows = search.store, name_of(asked.get("validation"))
    special: dict[str, Any] = {
        "X": _data_form(asked["X"], search.spec.data, store),
        "y": asked.get("y") if isinstance(asked.get("y"), str) else None,
        "fit_params": {n: _argument(v, store) for n, v in (asked.get("fit_params") or {}).items()},
        "validation": rows or validation_form(search.spec.split.validation, store),
        **place_forms(asked, store),
    }
    return {
        **{name: portable(value, store) for name, value in asked.items() if name not in special},
        **special,
    }


def _data_form(X: Any, data: ChunkedData, store: Any) -> Any:
    if (name := name_of(X)) is not None:
        return name
    if isinstance(X, (str, Path)):
        return str(X)
    form = portable(data.to_json(), store)
    return form if "chunks" in form else reference(data, store, data.kind)


def _argument(value: Any, store: Any) -> Any:
    """Plain values stay readable in the run's parameters; arrays go to the store."""
    if isinstance(value, (np.ndarray, DataRef)) or hasattr(value, "iloc"):
        return reference(value, store)
    return portable(value, store)
