"""Small Python values as JSON and back, type for type and bit for bit.

Rule 1: what comes back equals what went in, with the same types; what cannot is refused, never bent.
Rule 2: JSON numbers are ints only. Every text carries a tag of two letters, so floats can travel as texts.

| value | JSON |
|---|---|
| None, bool, int of 64 bits | itself |
| larger int | `"i:" + hex` |
| float; NaN | `"f:" + float.hex`; `"n:" + its 16 hex digits` |
| str | `"s:" + text` |
| list; tuple; dict with str keys | list; list that starts with `"t:"`; object |
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_INT64 = 1 << 63
fromhex = float.fromhex


def freeze(value: Any, *, exact: bool = False, path: str = "value") -> Any:
    """The JSON form of `value`.

    NumPy scalars become the Python scalar of the same value, unless `exact`. Raises TypeError, naming the
    path, for anything else.
    """
    kind = type(value)
    if kind is float:
        return _freeze_float(value)
    if kind is str:
        return "s:" + value
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else "i:" + hex(value)
    if kind is list or kind is tuple:
        items = [freeze(item, exact=exact, path=f"{path}[{i}]") for i, item in enumerate(value)]
        return items if kind is list else ["t:", *items]
    if kind is dict:
        if bad := [key for key in value if type(key) is not str]:
            raise TypeError(f"{path}: key {bad[0]!r} is no str")
        return {key: freeze(item, exact=exact, path=f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, np.generic) and not exact and type(value.item()) in (bool, int, float, str):
        return freeze(value.item(), path=path)
    raise TypeError(f"{path}: a {kind.__name__} has no JSON form")


def _freeze_float(value: float) -> str:
    if value != value:
        return "n:" + struct.pack(">d", value).hex()  # float.hex would lose sign and payload
    return "f:" + value.hex()


def thaw(plain: Any) -> Any:
    """The value that `freeze` was given; ValueError for what it cannot have written."""
    kind = type(plain)
    if kind is str:
        tag = plain[:2]
        if tag == "f:":
            return fromhex(plain[2:])
        if tag == "s:":
            return plain[2:]
        if tag == "n:" and len(plain) <= 18:
            return struct.unpack(">d", bytes.fromhex(plain[2:].zfill(16)))[0]
        if tag == "i:":
            return int(plain[2:], 16)
        raise ValueError("text without tag")
    if kind is dict:
        return {  # most values are floats in one flat dict
            key: fromhex(item[2:]) if type(item) is str and item[:2] == "f:" else thaw(item)
            for key, item in plain.items()
        }
    if kind is list:
        if plain and plain[0] == "t:":
            return tuple([thaw(item) for item in plain[1:]])
        return [thaw(item) for item in plain]
    if kind is float:
        raise ValueError("a bare JSON float")
    return plain
