"""The store that a command means, opened without creating one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from prefect_tune.errors import UserError
from prefect_tune.store import StepStore, default_root
from prefect_tune.store.home import is_url

Place = Annotated[str | None, Parameter(name="--store")]
"""The store that is meant: a folder, a URL or `step-store/NAME`; the default one if none is named."""


def opened(place: str | None) -> Any:
    """The store at that place. Of one on object storage the records that this machine holds are listed.

    Raises:
        UserError: there is none.
        TuneError: it cannot be read.
    """
    where = place or default_root()
    if not is_url(where):
        if isinstance(where, str) and where.startswith("step-store/"):
            from prefect_tune.flows.saved import store_block  # the one store that needs Prefect

            block = store_block(where)
            assert block is not None  # it is named
            return block.open()
        where = Path(where).expanduser()
        if not (where / "FORMAT").exists():
            raise UserError(
                f"store: there is no store at {where}. A search creates one; name another with --store, or "
                "set $PREFECT_TUNE_STORE."
            )
    return StepStore.open(where)


def in_a_folder(store: Any) -> Any:
    """`store`, which lies in a folder.

    Raises:
        UserError: it is on object storage, whose other users a command cannot see.
    """
    if is_url(getattr(store, "place", "")):
        raise UserError(
            f"gc: {store.place} is on object storage, where others may be at work; its lifecycle rules, or "
            "the store's own sweep(), make room there."
        )
    return store
