"""The best model of a search, read back from the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prefect_tune.store import StepStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Where the best model lies: the store's folder and the keys it is assembled from."""

    store: str
    scope: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a person decided before the model was made.

    Attributes:
        row: of the candidate whose model was wanted, in the result's table; the index of a trial. None: the
            search was to end without a model.
        place: of the candidate in the list that was shown; 1 was the best one found.
        params: its parameters.
        note: what the person wrote.
        seconds: of waiting.
    """

    row: int | None
    place: int | None = None
    params: Mapping[str, Any] | None = None
    note: str = ""
    seconds: float = 0.0


def load_model(ref: ModelRef, store: StepStore | None = None, like: Any = None) -> Any:
    """The fitted estimator that `ref` names, its bytes verified.

    Args:
        store: where it lies; None: the folder that `ref` names.
        like: estimators, whose classes its parts get back. A class of `__main__` is stored by value, so that
            another session would find a twin of it; the key covers its source, so the twin does the same.

    Raises:
        LookupError: when the store no longer has it; run the search again, only the refit is repeated.
    """
    store = store if store is not None else StepStore.open(ref.store)
    record = store.get(ref.key, ref.scope)
    if record is None or not record.outputs:
        raise LookupError(
            f"the store at {store.root} has no model {ref.key[:12]}…; run the search again to refit."
        )
    model = store.load(record, "model", writable=True)
    own = {_name_of(part): type(part) for part in _parts(like, set())}
    for part in _parts(model, set()):
        if own.get(_name_of(part), type(part)) is not type(part):
            part.__class__ = own[_name_of(part)]
    return model


def _name_of(part: Any) -> tuple[str, str]:
    return type(part).__module__, type(part).__qualname__


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """The estimators in a value, the value itself and fitted ones among them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield value
        inner = list(getattr(value, "__dict__", {}).values())
    elif isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, (list, tuple)) or getattr(getattr(value, "dtype", None), "hasobject", False):
        inner = value
    for item in inner:
        yield from _parts(item, seen)
