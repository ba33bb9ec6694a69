"""Saved blocks in place of a flow's parameters: `"step-store/NAME"`, `"dask-cluster/NAME"` and so on.

Rule 1: blocks are loaded and opened here and nowhere else.
Rule 2: a flow run's parameters hold the block's name; of one without a name, made in code, what is public.
Rule 3: where parameters come from a deployment or a saved block, they name only allowed code (`allowed`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.blocks.core import Block
from prefect.context import FlowRunContext

from prefect_tune import allowed
from prefect_tune.blocks import CsvData, DaskCluster, ParquetData, SearchSpec, SqlQuery, StepStore
from prefect_tune.blocks.secrets import saved_block
from prefect_tune.data import DataRef
from prefect_tune.errors import DataError, UserError
from prefect_tune.flows.settings import allowed_modules
from prefect_tune.tasks.api import api_settings, ensure_api

KINDS: dict[str, type[Block]] = {
    kind.get_block_type_slug(): kind
    for kind in (StepStore, DaskCluster, ParquetData, CsvData, SqlQuery, SearchSpec)
}
DATA = (ParquetData, CsvData, SqlQuery)


def name_of(value: Any) -> str | None:
    """`slug/NAME` of a saved block, given as itself or as that text; None for anything else."""
    if isinstance(value, Block):
        name = value._block_document_name
        return f"{value.get_block_type_slug()}/{name}" if name else None
    if isinstance(value, str):
        slug, _, name = value.partition("/")
        return value if slug in KINDS and name and "/" not in name else None
    return None


def block_of(value: Any, place: str, *kinds: type[Block]) -> Any:
    """The block that a parameter is or names; None if it does neither.

    Args:
        value: what was given.
        place: the parameter, for errors.
        kinds: the types that it may be of.

    Raises:
        UserError: there is no such block, or it is of another type.
    """
    if not isinstance(value, Block):
        name = name_of(value)
        if name is None:
            return None
        with api_settings(ensure_api()):
            value = saved_block(name, place)
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{place}: takes a block {wanted}, got a {type(value).__name__}.")
    return value


# -- what may be named ---------------------------------------------------------------------------------


@contextlib.contextmanager
def judged(always: bool = True) -> Iterator[None]:
    """A context in which parameters name only allowed code.

    Args:
        always: False: only if the enclosing flow run, if there is one, is a deployment's.
    """
    if not always and not _deployed():
        yield
        return
    with allowed.only(allowed_modules()):
        yield


def _deployed() -> bool:
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


# -- store and cluster ---------------------------------------------------------------------------------


def store_block(wish: Any) -> StepStore | None:
    """The block of a store, or None if another kind of place is asked for."""
    return block_of(wish, "store", StepStore)


def cluster_spec(wish: Any) -> Any:
    """What `open_cluster` takes for a flow's parameter `cluster`; a class named by a block is judged here.

    Raises:
        NotAllowed: a saved block names a class that is not allowed.
    """
    block = block_of(wish, "cluster", DaskCluster)
    if block is None:
        return wish
    spec = block.spec()
    if "class" in spec and name_of(block) is not None:
        with judged():
            allowed.check_added(spec["class"], f"cluster: {name_of(block)}")
    return spec


def place_forms(asked: Mapping[str, Any], store: Any) -> dict[str, Any]:
    """The parameters `store` and `cluster` of a flow run: names, addresses, folders.

    Args:
        asked: what was asked for.
        store: the opened store.
    """
    cluster = asked.get("cluster")
    if isinstance(cluster, DaskCluster):
        cluster = name_of(cluster) or cluster.form()
    else:
        cluster = getattr(cluster, "scheduler_address", cluster)
    place = getattr(store, "place", None) or str(store.root)
    return {"store": name_of(asked.get("store")) or place, "cluster": cluster}


# -- data ----------------------------------------------------------------------------------------------


def with_data(asked: dict[str, Any], store: Any) -> dict[str, Any]:
    """The parameters with the data of a block in the store: X as a reference, y as the target's name.

    Raises:
        DataError: the data cannot be read, or nothing says which column is the target.
    """
    block = block_of(asked.get("X"), "X", *DATA)
    if block is None:
        return asked
    return {
        **asked,
        "X": block.ingest(store),
        "y": asked["y"] if asked.get("y") is not None else block.target,
    }


def with_chunks(asked: dict[str, Any], store: Any) -> dict[str, Any]:
    """The same for a search that reads chunks: local Parquet stays where it is, other data comes whole."""
    found = {**asked}
    block = block_of(asked.get("X"), "X", *DATA)
    if block is not None:
        found["X"], target = _chunks(block, store)
        found["y"] = asked["y"] if asked.get("y") is not None else target
        if isinstance(block, ParquetData) and block.is_local and asked.get("columns") is None:
            found["columns"] = block.columns
    rows = block_of(asked.get("validation"), "validation", *DATA)
    if rows is not None:
        X, y = _chunks(rows, store)
        found["validation"] = _apart(X, y if y is not None else found.get("y"))
    return found


def _chunks(block: Any, store: Any) -> tuple[Any, str | None]:
    """(the path, or the table in memory; the target's name)."""
    if isinstance(block, ParquetData) and block.is_local:
        return block.path, block.target
    return store.load_blob(block.ingest(store).blob), block.target


def _apart(X: Any, y: Any) -> Any:
    """The pair (X, y) of rows to be scored."""
    if isinstance(X, str):
        return (X, y)
    if not isinstance(y, str) or y not in X.columns:
        raise DataError(f"validation: its block has no column {y!r} for the target; set target in it.")
    return (X.drop(columns=[y]), X[y])


def data_form(X: Any, ref: DataRef) -> dict[str, Any]:
    """X as a flow run's parameter: a reference, with the name of the block that it comes from."""
    name = name_of(X)
    return ref.to_json() if name is None else {"saved": name, **ref.to_json()}
