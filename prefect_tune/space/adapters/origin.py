"""Where an object is from: the library and the names of its classes."""

from __future__ import annotations

from typing import Any

LIBRARIES = ("hyperopt", "optuna", "ray", "syne_tune", "ConfigSpace")


def _names(kind: type) -> tuple[str, frozenset[str]] | None:
    """The library that a class or one of its bases is from, and the names of those."""
    found = [(base.__module__.partition(".")[0], base.__name__) for base in kind.__mro__]
    libraries = [library for library, _ in found if library in LIBRARIES]
    if not libraries:
        return None
    return libraries[0], frozenset(name for library, name in found if library == libraries[0])


def library_of(value: Any) -> str | None:
    """The library that the object's class is from, if it is one of the five."""
    names = _names(type(value))
    return None if names is None else names[0]


def is_a(value: Any, *names: str) -> bool:
    """Whether the object's class, or a base of it, is one of its library's of these names."""
    found = _names(type(value))
    return found is not None and not found[1].isdisjoint(names)
