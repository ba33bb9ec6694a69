"""A clean place for every test run. Rule: this file imports neither Prefect nor NumPy.

It is loaded before any test module, so what it puts into the environment is what they, and every process
they start, will see.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# One thread for each numerical library: sums are then added up in one order, and scores compare bit for bit.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_name] = "1"

# The user's profile, server and cloud account are none of the tests' business.
for _name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[_name]
_HOME = tempfile.mkdtemp(prefix="prefect-tune-tests-")
os.environ["PREFECT_HOME"] = _HOME
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"


def _remove_home(owner: int = os.getpid()) -> None:
    """Nothing; the temporary Prefect home is gone. A forked child leaves it to its parent."""
    if os.getpid() == owner:
        shutil.rmtree(_HOME, ignore_errors=True)


atexit.register(_remove_home)

# The same examples on every machine, so that a fresh clone sees what its author saw; to look for new ones:
# HYPOTHESIS_PROFILE=explore. No deadline, since a busy machine is not a bug.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_ENVIRONMENT = dict(os.environ)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Nothing; a test module that sets Prefect or Dask up when imported is refused: it sets them for all."""
    now = {name: value for name, value in os.environ.items() if name.startswith(("PREFECT", "DASK"))}
    changed = sorted(name for name, value in now.items() if _ENVIRONMENT.get(name) != value)
    if changed:
        names = ", ".join(changed)
        raise pytest.UsageError(f"a test module sets {names} when it is imported: do it in a fixture")


# Two processes share the suite file by file: what takes minutes comes first, so that neither waits long.
_FIRST = ("documentation", "cluster", "browser", "faults", "test_examples.py", "test_packaging.py", "engine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files by how long they take, roughly; within a file nothing moves."""
    root = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        part = item.path.relative_to(root).parts[0]
        return _FIRST.index(part) if part in _FIRST else len(_FIRST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files go to one process; so do all that look at pages, and the few cases of the fault matrix.

    Those share a server and workers, which take longer to start than most of them to run.
    """
    from xdist.scheduler import LoadFileScheduling

    shared = ["tests/browser/"] + (["tests/faults/"] if "sampled" in config.option.markexpr else [])

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((folder for folder in shared if file.startswith(folder)), file)

    return ByFile(config, log)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes folders for PREFECT_HOME whose database is set up: a new one takes seconds."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = base / "prefect-home"
    with (base / "prefect-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes that share the suite share it, too
        if not made.exists():
            _set_up(made)

    def make(folder: Path) -> Path:
        return shutil.copytree(made, folder)

    return make


def _set_up(home: Path) -> None:
    """Nothing; the folder has a new Prefect database, in one file."""
    begun = home.with_name("prefect-home-begun")
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(command, env={**os.environ, "PREFECT_HOME": str(begun)}, check=True, capture_output=True)
    with sqlite3.connect(begun / "prefect.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    begun.rename(home)
