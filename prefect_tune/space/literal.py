"""Constants in JSON: plain values as they are, the few that JSON lacks under a tag.

Rule: `{"tuple": [...]}`, `{"float": "nan" | "inf" | "-inf"}`, and `{"pairs": [[key, value], ...]}` for a dict
with keys other than texts, or one that would be read as a tag. Whatever comes back has the type that went in.
"""

from __future__ import annotations

import math
from typing import Any

from prefect_tune.identity.encode import plain

TAGS = ("tuple", "float", "pairs")


def to_literal(value: Any) -> Any:
    """The JSON of a constant; TypeError with the object that JSON cannot hold."""
    value = plain(value)
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [to_literal(item) for item in value]
    if kind is tuple:
        return {"tuple": [to_literal(item) for item in value]}
    if kind is dict:
        if all(type(key) is str for key in value) and not any(key in TAGS for key in value):
            return {key: to_literal(item) for key, item in value.items()}
        return {"pairs": [[to_literal(key), to_literal(item)] for key, item in value.items()]}
    raise TypeError(value)


def from_literal(form: Any) -> Any:
    """The constant that a form stands for; ValueError for a tag that says nothing."""
    if isinstance(form, list):
        return [from_literal(item) for item in form]
    if not isinstance(form, dict):
        return form
    tag = next((tag for tag in TAGS if tag in form), None)
    if tag is None:
        return {key: from_literal(item) for key, item in form.items()}
    value = form[tag]
    if len(form) > 1:
        raise ValueError(f"{tag!r} must be the only key")
    if tag == "float":
        if value not in ("nan", "inf", "-inf"):
            raise ValueError('float must be "nan", "inf" or "-inf"')
        return float(value)
    if not isinstance(value, list):
        raise ValueError(f"{tag} must hold a list")
    if tag == "tuple":
        return tuple(from_literal(item) for item in value)
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError("pairs must hold [key, value] lists")
    return {from_literal(key): from_literal(item) for key, item in value}
