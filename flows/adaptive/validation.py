"""The rows that are scored instead of a share of the data, opened and compared with those that train.

Rule: what an estimator could not be scored on is refused here, before anything is submitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_tune.chunks import ChunkedData, open_chunks
from prefect_tune.chunks.features import Described, check_alike, described
from prefect_tune.errors import DataError
from prefect_tune.request import portable, reference, revive

PLACE = "validation"


def open_validation(
    asked: Mapping[str, Any], per_row: Mapping[str, Any], train: Described, store: Any
) -> ChunkedData:
    """The rows that the parameter `validation` means.

    Args:
        asked: the flow's parameters.
        per_row: per-row arguments; columns that they name are no features.
        train: features and target of the rows that train.
        store: where data in memory goes.

    Raises:
        DataError: no pair (X, y), data that cannot be read, or rows that are unlike those that train.
    """
    form = asked["validation"]
    if isinstance(form, Mapping) and "chunks" in form:
        form = ChunkedData.from_json(form)
    form = revive(form, store, PLACE)
    if isinstance(form, ChunkedData):
        check_alike(train, described(form, store), PLACE)
        return form
    if not isinstance(form, (tuple, list)) or len(form) != 2:
        raise DataError(
            "validation: must be a pair (X, y), or (path of Parquet files, target column), got "
            f"{type(form).__name__}."
        )
    by_name = {name: column for name, column in per_row.items() if isinstance(column, str)}
    opened = _opened(form, by_name, None, store)
    found = described(opened, store)
    if opened.appendable and _may_choose(asked, train, found):
        opened = _opened(form, by_name, train[0].names, store)
        found = described(opened, store)
    check_alike(train, found, PLACE)
    return opened


def _opened(form: Any, by_name: Mapping[str, str], columns: Any, store: Any) -> ChunkedData:
    try:
        return open_chunks(form[0], form[1], store=store, params=by_name, columns=columns)
    except DataError as error:
        raise DataError(f"validation, {error}") from error


def _may_choose(asked: Mapping[str, Any], train: Described, found: Described) -> bool:
    """Whether columns of files are taken by their names: `columns` says so, or only their order differs."""
    ours, theirs = set(train[0].names or ()), set(found[0].names or ())
    return train[0].names != found[0].names and (
        bool(ours) and (ours == theirs or (asked.get("columns") is not None and ours < theirs))
    )


def validation_form(validation: ChunkedData | None, store: Any) -> Any:
    """The rows as a flow's parameter: plain JSON, or a reference to the store."""
    if validation is None:
        return None
    form = portable(validation.to_json(), store)
    return form if "chunks" in form else reference(validation, store, validation.kind)
