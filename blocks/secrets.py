"""Values out of other saved blocks, such as the credentials of a cloud or a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.blocks.core import Block

from prefect_tune.errors import UserError


def saved_block(name: str, place: str) -> Any:
    """The saved block called `slug/NAME`, of any type.

    Raises:
        UserError: there is none, or it cannot be read here.
    """
    try:
        return Block.load(name, _sync=True)  # type: ignore[call-arg]
    except (ValueError, RuntimeError, KeyError) as error:
        # Not the cause's own words: what fails to load may be shown in them.
        raise UserError(
            f"{place}: there is no saved block {name!r} that can be loaded here ({type(error).__name__}). "
            "`prefect block ls` shows those there are; a block of another collection needs its package."
        ) from error


def revealed(name: str, wanted: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Those of the wanted values that the saved block has, by our names for them.

    Args:
        name: `slug/NAME` of the block.
        wanted: our name -> the names of its fields that may hold the value, dotted for fields of fields.
    """
    block = saved_block(name, "credentials")
    found = {ours: [_plain(block, path) for path in paths] for ours, paths in wanted.items()}
    return {ours: str(values[0]) for ours, given in found.items() if (values := [v for v in given if v])}


def _plain(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = getattr(value, part, None)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
