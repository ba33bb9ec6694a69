"""What a driver leaves for its workers in the store's scratch folder: written once, verified when read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
from blake3 import blake3

from prefect_tune.errors import InfrastructureError


def write_published(value: Any, path: Path, store: Any) -> str:
    """The digest of the bytes that are now in `path`, in the store's scratch folder."""
    payload = cloudpickle.dumps(value)
    path.write_bytes(payload)
    store.share(path)
    return blake3(payload).hexdigest()


def read_published(path: str, digest: str, store: Any) -> Any:
    """The value that `write_published` left.

    Raises:
        InfrastructureError: the file is not there, or is not what was written.
    """
    try:
        payload = Path(path).read_bytes()
    except OSError as error:
        if (payload := store.read_shared(path)) is None:
            raise InfrastructureError(
                f"this worker cannot read {path} ({error}). Driver and workers must see the same store: "
                "put it on a shared folder or a bucket with store=, or use a local cluster."
            ) from error
    if blake3(payload).hexdigest() != digest:
        raise InfrastructureError(f"{path} was changed after it was written; run the search again.")
    return pickle.loads(payload)
