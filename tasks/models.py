"""The best model of a search: fitted once, and in the store when the task run ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store import MissingBlob, Record
from prefect_tune.tasks.execute import creator
from prefect_tune.tasks.turns import Turns


def leave_model(key: str, turns: Turns, fit: Callable[[], tuple[Any, Record]]) -> bool:
    """Whether it was there already; from now on the store has the model under its key.

    A record whose model cannot be read back counts for nothing: who asked for the best model would find out
    only when the search is over.

    Args:
        key: of the model, in hex.
        turns: whose store and scope it is; another search may just be fitting it.
        fit: gives the model, and the record to be left with it.

    Raises:
        StoreUnavailable: when the store cannot take it.
    """
    store, scope = turns.store, turns.scope

    def known() -> Record | None:
        record = store.get(key, scope)
        if record is not None and record.outputs:
            with suppress(MissingBlob):
                store.load(record, "model")
                return record
        return None

    def compute() -> Record:
        model, record = fit()
        stored = store.put(record, {"model": model}, scope)
        if not stored.outputs:
            raise StoreUnavailable(f"the best model cannot be written to the store at {store.root}.")
        return stored

    if known() is not None:
        return True
    turns.once(key, known, compute)
    return False


def model_record(key: str, model: Any, seconds: float, **values: float) -> Record:
    """The record of a fitted model; `seconds` is what all its steps took."""
    return Record(key=key, kind="model", family=type(model).__name__, seconds=seconds, values=values,
                  created=time.time(), creator=creator())  # fmt: skip
