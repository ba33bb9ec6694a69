"""The part of an estimator's identity that its parameters do not hold.

Kept apart from the parameters, so that a thousand candidates of one class pay for it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.code import class_identity
from prefect_tune.identity.encode import encode


def estimator_header(estimator: Any, path: str = "") -> bytes:
    """The frame of class, output configuration and metadata requests of an unfitted estimator.

    Raises:
        Uncacheable: the class has no identity, or keeps fitted state when it is cloned.
    """
    kind = type(estimator)
    own_clone = getattr(kind, "__sklearn_clone__", None)
    if own_clone is not None and getattr(own_clone, "__module__", "") != "sklearn.base":
        raise Uncacheable(path, f"{kind.__name__} keeps its fitted state when cloned")
    state = getattr(estimator, "__dict__", {})
    requests = state.get("_metadata_request")
    methods = {
        name: dict(request.requests)
        for name, request in (vars(requests) if requests is not None else {}).items()
        if isinstance(getattr(request, "requests", None), Mapping)
    }
    return encode([class_identity(kind), state.get("_sklearn_output_config"), sorted(methods.items())], path)
