"""Checks of a sampler's settings, made when the sampler is."""

from __future__ import annotations

from numbers import Integral

from prefect_tune.errors import UserError


def whole(owner: str, name: str, value: object, least: int) -> None:
    """Raises unless `value` is an int of at least `least`.

    Raises:
        UserError: otherwise, with the sampler's name, the setting's and what was given.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(
            f"{owner}: {name} must be an int of at least {least}, got {value!r}; give such a number."
        )


def one_of(owner: str, name: str, value: object, known: tuple[object, ...]) -> None:
    """Raises unless `value` is one of the known ones.

    Raises:
        UserError: otherwise, with the sampler's name, the setting's and what may stand there.
    """
    if value not in known:
        listed = ", ".join(repr(item) for item in known)
        raise UserError(f"{owner}: {name} must be one of {listed}, got {value!r}; choose one of them.")
