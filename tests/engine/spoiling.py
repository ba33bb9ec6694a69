"""What bad disks do to a store."""

from __future__ import annotations

from pathlib import Path

from prefect_tune.model import ModelRef
from prefect_tune.store import StepStore
from prefect_tune.store.inspect import site_of


def cut_model(ref: ModelRef) -> Path:
    """The file of a best model, half of which is gone; its record says nothing of that."""
    store = StepStore.open(ref.store)
    record = store.get(ref.key, ref.scope)
    assert record is not None
    path = Path(site_of(store).blob(record.outputs[0].digest))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path
