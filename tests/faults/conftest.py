"""One API, one cluster and one forker for the matrix, and what each search comes to when nothing happens."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The helper modules of this folder; --import-mode=importlib leaves the path alone.
FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER))
sys.path.append(str(FOLDER.parent / "engine"))

from api_process import ApiProcess  # noqa: E402 - the path is set above
from oracles import Golden, GoldenOf  # noqa: E402
from world import Forker, World  # noqa: E402

from prefect_tune.tasks.cluster import close_default_clusters, open_cluster  # noqa: E402

SEED = int(os.environ.get("FAULT_SEED", "0"))


def pytest_report_header() -> str:
    """The line that says how to repeat this run."""
    return f"faults: seed {SEED} (FAULT_SEED={SEED} make test-faults)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is in this folder, and one case of each test, drawn by the seed, for `make test`."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.faults)
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for test, found in cases.items():
        if test.endswith("::test_killed_scheduler"):
            continue  # Dask's client alone waits for half a minute
        random.Random(f"{SEED} {test}").choice(found).add_marker(pytest.mark.sampled)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance, by the seed of this run and the name of the case."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]) -> Path:
    """PREFECT_HOME of all searches."""
    return prefect_home(tmp_path_factory.mktemp("faults") / "home")


@pytest.fixture(scope="session")
def api(home: Path) -> Iterator[ApiProcess]:
    """The Prefect API."""
    started = ApiProcess(home)
    yield started
    started.kill()


@pytest.fixture(scope="session")
def cluster(api: ApiProcess) -> Iterator[str]:
    """The address of two worker processes; a nanny starts those again that die."""
    with open_cluster(n_workers=2, api_url=api.url) as lease:
        yield lease.address
    close_default_clusters()


@pytest.fixture(scope="session")
def forker(home: Path) -> Iterator[Forker]:
    """Starts searches."""
    started = Forker(home)
    yield started
    started.close()


@pytest.fixture
def world(tmp_path: Path, forker: Forker, api: ApiProcess, cluster: str) -> Iterator[World]:
    """A new place; the API lives."""
    if not api.lives():
        api.start()
    made = World(tmp_path, forker, api.url, cluster)
    yield made
    made.close()


@pytest.fixture(scope="session")
def golden(
    tmp_path_factory: pytest.TempPathFactory, forker: Forker, api: ApiProcess, cluster: str
) -> GoldenOf:
    """What a search of that kind comes to when nothing happens to it, but for what one candidate does."""
    known: dict[tuple[str, str], Golden] = {}

    def of(kind: str, does: str = "") -> Golden:
        if (kind, does) not in known:
            world = World(tmp_path_factory.mktemp(kind), forker, api.url, cluster)
            found = world.start(kind, does=does).well()
            assert len(world.log()) == len(set(world.log())), "every piece of work has a line of its own"
            known[kind, does] = Golden(found, world.log())
        return known[kind, does]

    return of
