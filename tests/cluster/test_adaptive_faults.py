"""Adaptive searches whose processes are killed: the table is as if nothing had happened."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_tune import hyperband_search, successive_halving_search
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

from .conftest import Script

# The workers import them, too: they get this process's path.
sys.path.append(str(Path(__file__).parent))
from counted import lines
from paced import Paced, rows, table

pytestmark = pytest.mark.cluster

NewScript = Callable[[], Script]
RATES = {"rate": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}
COMMON = {"chunk_size": 40, "random_state": 0, "verbose": 0}
HALVING = {"n_initial_parameters": "grid", "n_initial_iter": 3, **COMMON}
HYPERBAND = {"max_iter": 9, **COMMON}
DISTINCT = 9 * 3 + 3 * 6 + 1 * 18  # calls of nine candidates to 3, of three to 9, of one to 27


@pytest.fixture(scope="module")
def workers(served_api: str) -> Iterator[str]:
    """The address of a local cluster of two worker processes."""
    with open_cluster(n_workers=2, api_url=served_api) as lease:
        yield lease.address
    close_default_clusters()


@pytest.fixture(scope="module")
def undisturbed(workers: str, tmp_path_factory: pytest.TempPathFactory) -> list:
    """The table when nothing is killed."""
    store = tmp_path_factory.mktemp("undisturbed")
    result = successive_halving_search(Paced(log=str(store / "log")), RATES, *rows(), cluster=workers,
                                       store=str(store), **HALVING)  # fmt: skip
    assert len(lines(store / "log")) == DISTINCT
    return table(result)


@pytest.mark.parametrize(
    "dies",
    ["call", "F3", *(pytest.param(place, marks=pytest.mark.faults) for place in ("F1", "F2", "F4", "F5"))],
)
def test_killed_worker(dies: str, workers: str, undisturbed: list, tmp_path: Path) -> None:
    """A worker that dies while it trains, or anywhere in writing a checkpoint, costs one round of a unit.

    The candidate with rate 0.5 takes its worker down once, in its third call or when that round is stored.
    """
    log = tmp_path / "log"
    learner = Paced(log=str(log), dies=dies)
    result = successive_halving_search(
        learner, RATES, *rows(), cluster=workers, store=str(tmp_path / "store"), **HALVING
    )
    assert Path(f"{log}.{dies}").exists()
    assert table(result) == undisturbed
    again = Counter(lines(log)) - Counter(set(lines(log)))
    assert len(set(lines(log))) == DISTINCT
    assert sum(again.values()) <= 3  # those of the unit that it was at
    assert result.failures == ()


PROGRAM = """
    import json, os, signal, sys, time
    sys.path.append({here!r})
    from paced import Paced, rows, table
    from counted import lines
    from pathlib import Path
    from prefect_tune import hyperband_search, successive_halving_search
    from prefect_tune.store import failpoints

    kind, log, options = {kind!r}, Path({log!r}), {options!r}
    def run(point):
        # A process of its own, without the seconds that importing takes.
        pid = os.fork()
        if pid:
            return pid
        failpoints.arm(point)
        search = hyperband_search if kind == "hyperband" else successive_halving_search
        found = search(Paced(log=str(log), pause={pause!r}), {rates!r}, *rows(), **options)
        print(json.dumps([table(found), found.cost.calls, found.rounds_found]), flush=True)
        os._exit(0)

    killed = []
    for point in {points!r}:
        pid = run(point if isinstance(point, str) else "")
        if isinstance(point, int):
            while len(lines(log)) < point:
                time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
        killed.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(lines(log))])
    os.waitpid(run(""), 0)
    print(json.dumps(killed), flush=True)
"""


def killed(script: Script, folder: Path, workers: str, points: list, **asked: Any) -> tuple[list, list]:
    """What became of a search that was killed at each of `points` in turn, a failpoint or a number of calls.

    ([exit code, calls so far] of each killed run, [table, calls, rounds found] of the run after them).
    """
    options = {"cluster": workers, "store": str(folder / "store"), **asked.pop("options")}
    names = {"here": str(Path(__file__).parent), "log": str(folder / "log")}
    script.start(PROGRAM.format(options=options, points=points, **names, **asked))
    code, printed = script.finish(timeout=120)
    assert code == 0, printed
    *_, last, ends = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    return ends, last


@pytest.fixture
def shared_api(served_api: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Scripts started in this test use the API of this process, and need not start one."""
    monkeypatch.setenv("PREFECT_API_URL", served_api)
    return served_api


@pytest.mark.faults
def test_killed_flow(
    new_script: NewScript, tmp_path: Path, workers: str, undisturbed: list, shared_api: str
) -> None:
    """A flow killed before or after it has written a decision, or while it writes, trains nothing twice."""
    points = ["F2:kill@1", "F4:kill@1", "F5:kill@1", "F6:kill@1", "F3:kill@2", "F7:kill@2"]
    ends, (found, _, known) = killed(
        new_script(), tmp_path, workers, points, kind="halving", options=HALVING, pause=0.0, rates=RATES
    )
    assert [code for code, _ in ends] == [-9] * len(points)
    assert found == undisturbed
    assert known == 9 + 3  # the rounds before the last kill
    log = lines(tmp_path / "log")
    assert len(log) == len(set(log)) == DISTINCT


@pytest.mark.faults
def test_flow_killed_in_mid_round(
    new_script: NewScript, tmp_path: Path, workers: str, shared_api: str
) -> None:
    """Hyperband killed while its brackets train: calls made again are those that were in flight."""
    rates = {"rate": [i / 1000 for i in range(1, 1000)]}
    ends, (found, _, _) = killed(
        new_script(),
        tmp_path,
        workers,
        [30],
        kind="hyperband",
        options=HYPERBAND,
        pause=0.02,
        rates=rates,
    )
    assert [code for code, _ in ends] == [-9]
    place = {"cluster": workers, "store": str(tmp_path / "other")}
    undisturbed = hyperband_search(Paced(log=str(tmp_path / "plain")), rates, *rows(), **HYPERBAND, **place)
    assert found == table(undisturbed)
    log = lines(tmp_path / "log")
    assert set(log) == set(lines(tmp_path / "plain"))
    # A unit on each of the two workers is left unfinished, of nine calls at most.
    assert len(log) - len(set(log)) <= 2 * 9
