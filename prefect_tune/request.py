"""A search as flow parameters: JSON in, live objects out, and back.

Rule 1: what is plain JSON stays as it is. `{"class": "dotted.Name", "params": {...}}` is built by calling the
class; `{"object": {...}}` is an object that lies in the store; `{"data": ...}` is ingested data.
Rule 2: no array, frame or model ever sits in a flow's parameters; live objects go to the store, and a
reference takes their place.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefect_tune import allowed
from prefect_tune.data import DataRef, ingest, read_file
from prefect_tune.errors import DataError, MissingDependency, UserError, did_you_mean
from prefect_tune.store import BlobRef, MissingBlob, StepStore
from prefect_tune.text import short

LARGEST_FORM = 64 * 1024
"""Characters of JSON above which a value goes to the store; Prefect takes 512 KiB of parameters."""
PAIRS = ("steps", "transformers", "transformer_list", "estimators")


def build_search(kind: str, asked: Mapping[str, Any], store: StepStore) -> Any:
    """An unfitted scikit-learn search with what was asked for.

    Args:
        kind: `grid` or `randomized`.
        asked: flow parameters, in JSON form or live.
        store: where referenced objects lie.
    """
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    get = {
        name: revive(value, store, name)
        for name, value in asked.items()
        if name not in ("X", "y", "fit_params")
    }
    error_score = get.get("error_score")
    common = {
        "scoring": get.get("scoring"),
        "refit": get.get("refit", True),
        "cv": get.get("cv"),
        "error_score": np.nan if error_score is None else error_score,
        "return_train_score": get.get("return_train_score", False),
    }
    if kind == "grid":
        search = GridSearchCV(get["estimator"], get["param_grid"], **common)
    else:
        search = RandomizedSearchCV(
            get["estimator"],
            get["param_distributions"],
            n_iter=get.get("n_iter", 10),
            random_state=get.get("random_state"),
            **common,
        )
    if not hasattr(search.estimator, "fit"):
        raise UserError(
            f"estimator: {short(search.estimator)} has no fit(); pass an estimator, or its JSON form "
            "{'class': 'dotted.Name', 'params': {...}}."
        )
    search._validate_params()
    return search


def revive(form: Any, store: StepStore, place: str = "value") -> Any:
    """The live object that a JSON form stands for; live objects pass through.

    Raises:
        MissingDependency: a class whose package is not installed.
        NotAllowed: a class that these parameters may not name (see `allowed`).
        UserError: a class that cannot be found or built.
    """
    if isinstance(form, Mapping):
        if "class" in form and set(form) <= {"class", "params"}:
            given = form.get("params") or {}
            if not isinstance(given, Mapping):
                raise UserError(f"{place}: 'params' must map names to values, got {given!r}.")
            params = {k: _pairs(k, revive(v, store, f"{place}.{k}")) for k, v in given.items()}
            return _build(form["class"], params, place)
        if set(form) == {"object"}:
            return _stored(form["object"], store, place)
        if "data" in form and "blob" in form:
            return DataRef.from_json(form)
        return {key: revive(value, store, f"{place}.{key}") for key, value in form.items()}
    if isinstance(form, (list, tuple)):
        return type(form)(revive(value, store, f"{place}[{i}]") for i, value in enumerate(form))
    return form


def _stored(form: Any, store: StepStore, place: str) -> Any:
    try:
        return store.load_blob(BlobRef(name="data", **{k: form[k] for k in ("digest", "size", "codec")}))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{place}: {{'object': {form!r}}} is no reference written by a search ({error}); pass the object "
            "itself, or {'class': 'dotted.Name', 'params': {...}}."
        ) from error
    except MissingBlob as error:
        raise UserError(
            f"{place}: the store at {store.root} no longer has this object; start the search anew from code."
        ) from error


def _build(name: Any, params: Mapping[str, Any], place: str) -> Any:
    if not isinstance(name, str) or "." not in name:
        raise UserError(
            f"{place}: 'class' must be the dotted name of a class, such as 'sklearn.svm.SVC', got {name!r}."
        )
    allowed.check_name(name, place)
    module, _, attribute = name.rpartition(".")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{place}: {name!r} needs the package {error.name!r}, which is not installed here; install it "
            "where the flow and the workers run."
        ) from error
    kind = getattr(loaded, attribute, None)
    if kind is None:
        hint = did_you_mean(attribute, dir(loaded))
        raise UserError(
            f"{place}: there is no {attribute!r} in {module!r}.{hint} Give the dotted name of a class."
        )
    allowed.check_kind(kind, name, place)
    try:
        return kind(**params)
    except TypeError as error:
        raise UserError(f"{place}: {name} cannot be built: {error}.") from error


def _pairs(name: str, value: Any) -> Any:
    """JSON has no tuples; the named parts of a pipeline are tuples in scikit-learn."""
    if name in PAIRS and isinstance(value, list):
        return [tuple(item) if isinstance(item, list) else item for item in value]
    return value


def portable(value: Any, store: StepStore) -> Any:
    """`value` as JSON: itself if it is plain and small, a reference to the store otherwise."""
    if isinstance(value, DataRef):
        return value.to_json()
    try:
        form = json.dumps(value, allow_nan=False)
        if len(form) <= LARGEST_FORM and json.loads(form) == value:
            return value
    except (TypeError, ValueError):
        pass
    return reference(value, store, short(value, 200))


def reference(value: Any, store: StepStore, shows: str = "") -> dict[str, Any]:
    """A JSON form of `value` that says where it lies in the store.

    Args:
        shows: what people see in its place; by default its type alone, since a value may be data.
    """
    blob = store.put_blob(value)
    place = {"digest": blob.digest, "size": blob.size, "codec": blob.codec}
    return {"object": {**place, "shows": shows or type(value).__name__}}


def resolve_data(X: Any, y: Any, store: StepStore) -> tuple[Any, Any]:
    """X and y as live values or references; a path is read, and y may name a column of X.

    Raises:
        DataError: a path that cannot be read, a column that is not there.
    """
    X, y = revive(X, store, "X"), revive(y, store, "y")
    if isinstance(X, (str, Path)):
        X = read_file(X, "X")
    if isinstance(y, str):
        if isinstance(X, DataRef):
            X = store.load_blob(X.blob)
        X, y = column_apart(X, y)
    if isinstance(y, Path):
        y = ingest(y, store, name="y")
    return X, y


def column_apart(X: Any, name: str) -> tuple[Any, Any]:
    """(a frame without its column `name`, that column); of a frame in memory or in Dask.

    Raises:
        DataError: a column that is not there.
    """
    if not hasattr(X, "columns") or name not in X.columns:
        columns = [str(column) for column in getattr(X, "columns", [])]
        raise DataError(
            f"y: {name!r} is no column of X.{did_you_mean(name, columns)} "
            f"It has: {', '.join(columns) or 'no names'}."
        )
    return X.drop(columns=[name]), X[name]
