"""Encoders of objects: estimators, scorers, splitters, callables, and the door to all rarer types.

Rule 1: an estimator is its class and its unfitted parameters, plus the request flags and the output config
that `clone` copies but `get_params` does not show. A fitted one is refused.
Rule 2: ignorable parameters come from the registry, by exact class; the user's own classes have none.
Rule 3: an object is taken by its `__dict__` only if that is all its state: no slots, no state in C.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from prefect_tune.identity import values
from prefect_tune.identity.code import callable_identity, class_identity
from prefect_tune.identity.data import module_of, parameter_digest
from prefect_tune.identity.encode import Encoder, Walk, frame, kwargs_frame, ref
from prefect_tune.identity.registry import ignorable, is_sklearn

# Mappings that scikit-learn only looks keys up in, so their order cannot count.
_LOOKED_UP = frozenset({"class_weight", "transformer_weights"})
_CALLABLES = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


class _PlainObject:
    """What an instance weighs that has a `__dict__` and nothing else."""


def find_encoder(kind: type, value: Any) -> Encoder | None:
    """The encoder for a value of that type, or None."""
    if isinstance(value, np.ndarray) or module_of(value) is not None:
        return _data
    if isinstance(value, type):
        return _class
    if kind in _CALLABLES:
        return _callable
    found = values.find_encoder(kind, value)
    if found is not None:
        return found
    if _is_sklearn_scorer(kind):
        return _scorer
    if callable(getattr(kind, "get_params", None)):
        return _estimator
    if callable(value) and hasattr(value, "__qualname__"):
        return _callable
    if _is_plain_object(kind) and (callable(value) or hasattr(kind, "split")):
        return _plain_object
    return None


def _data(value: Any, walk: Walk) -> bytes:
    return ref(parameter_digest(value, "".join([walk.root, *walk.steps])))


def _class(value: type, walk: Walk) -> bytes:
    return walk.record("class", class_identity(value))


def _callable(value: Any, walk: Walk) -> bytes:
    return walk.record("callable", callable_identity(value))


def _is_plain_object(kind: type) -> bool:
    return kind.__basicsize__ <= _PlainObject.__basicsize__ and not kind.__itemsize__


def _plain_object(value: Any, walk: Walk) -> bytes:
    """A splitter or callable object: class and attributes."""
    return frame("object", walk.child(class_identity(type(value))) + walk.kwargs(vars(value)))


def _is_sklearn_scorer(kind: type) -> bool:
    return kind.__module__ == "sklearn.metrics._scorer" and kind.__name__ in ("_Scorer", "_PassthroughScorer")


def _scorer(value: Any, walk: Walk) -> bytes:
    """A scikit-learn scorer: what it computes, how it signs it, what it asks the estimator for."""
    state = {"class": class_identity(type(value))}
    if type(value).__name__ == "_Scorer":
        state |= {
            "score_func": value._score_func,
            "sign": value._sign,
            "kwargs": value._kwargs,
            "response_method": value._response_method,
        }
    members = {name: walk.child(item, f".{name}") for name, item in state.items()}
    members["requests"] = _requests(value, walk)
    return frame("scorer", kwargs_frame(members))


def _requests(value: Any, walk: Walk) -> bytes:
    """The request flags set on this object, by method; none if it has the defaults of its class."""
    requests = vars(value).get("_metadata_request")
    if requests is None:
        return walk.child(None)
    methods = {
        name: walk.kwargs(request.requests)
        for name, request in vars(requests).items()
        if isinstance(getattr(request, "requests", None), Mapping)
    }
    return kwargs_frame(methods)


def _estimator(value: Any, walk: Walk) -> bytes:
    kind = type(value)
    try:
        params = value.get_params(deep=False)
    except Exception as error:  # the user's class: whatever it raises, it has no identity
        raise walk.refuse(f"get_params() of {kind.__name__} failed: {error!r}") from error
    _check_unfitted(value, params, walk)
    ignored = ignorable(kind)
    encoded = {}
    for name, item in params.items():
        if name in ignored:
            continue
        if name in _LOOKED_UP and type(item) is dict and is_sklearn(kind):
            encoded[name] = _looked_up(item, walk)
        else:
            encoded[name] = walk.child(item, f".{name}")
    state = getattr(value, "__dict__", {})
    output = state.get("_sklearn_output_config")
    members = {
        "class": walk.child(class_identity(kind)),
        "params": kwargs_frame(encoded),
        "output": walk.child(None) if output is None else walk.kwargs(output),
        "requests": _requests(value, walk) if state else walk.child(None),
    }
    return frame("estimator", kwargs_frame(members))


def _looked_up(mapping: dict, walk: Walk) -> bytes:
    pairs = sorted((walk.child(key, ".key"), walk.child(item, f"[{key!r}]")) for key, item in mapping.items())
    return frame("kwargs", b"".join([part for pair in pairs for part in pair]))


def _check_unfitted(value: Any, params: Mapping[str, Any], walk: Walk) -> None:
    """Refuses estimators that carry fitted state, which `get_params` does not show."""
    clone = getattr(type(value), "__sklearn_clone__", None)
    if clone is not None and getattr(clone, "__module__", "") != "sklearn.base":
        raise walk.refuse(f"{type(value).__name__} keeps its fitted state when cloned")
    fitted = [
        name
        for name in getattr(value, "__dict__", {})
        if name.endswith("_") and not name.startswith("__") and name not in params
    ]
    if fitted:
        raise walk.refuse(f"{type(value).__name__} is fitted ({fitted[0]}); pass an unfitted clone")
