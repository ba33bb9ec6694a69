"""Stores, records and child processes for the tests of the store."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefect_tune.store import Record, StepStore

SCOPE = "ab12"


class Gadget:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where a gadget leaves its folder."""
    return tmp_path / "gadget-was-here"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place for a store that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> StepStore:
    return StepStore.open(root)


@pytest.fixture
def key() -> Callable[[object], str]:
    """A key per name: any 64 hex digits will do, so another hash than the store's makes them."""
    return lambda name: hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def record(key: Callable[[object], str]) -> Callable[..., Record]:
    return lambda name, **fields: Record(**{"key": key(name), "kind": "test", **fields})


@pytest.fixture
def no_temps(root: Path) -> Iterator[None]:
    """Fails a test that leaves files in tmp/."""
    yield
    assert os.listdir(root / "tmp") == []


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of stores would only make a disk slow."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a script in a fresh interpreter."""

    def run(script: str, *args: object, failpoint: str = "") -> subprocess.CompletedProcess:
        environment = {**os.environ, "PREFECT_TUNE_FAILPOINT": failpoint}
        command = [sys.executable, "-c", script, *map(str, args)]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run
