"""`tune` whose processes are killed: run again, it ends as if nothing had happened."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_tune import tune
from prefect_tune.space import uniform
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

from .conftest import Script

sys.path.append(str(Path(__file__).parent))
from counted import lines
from tuned import MOST, rows, train

pytestmark = pytest.mark.cluster

NewScript = Callable[[], Script]
SPACE = {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}
ASKED = {
    "n_trials": 8,
    "sampler": "random",
    "schedule": {"asha": {"type": "promotion"}},
    "max_resource": MOST,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def workers(served_api: str) -> Iterator[str]:
    """The address of a local cluster of two worker processes."""
    with open_cluster(n_workers=2, api_url=served_api) as lease:
        yield lease.address
    close_default_clusters()


@pytest.mark.parametrize(
    ("victim", "epoch"),
    [("worker", 1), pytest.param("worker", 5, marks=pytest.mark.faults), ("nursery", 5)],
)
def test_killed_worker_costs_one_stretch(victim: str, epoch: int, workers: str, tmp_path: Path) -> None:
    """A worker that dies under an objective, or what forks its processes: the stretch is trained again."""
    log = tmp_path / "log"
    space = {**SPACE, "log": str(log), "dies": epoch, "victim": victim}
    result = tune(train, space, cluster=workers, store=str(tmp_path / "store"), **ASKED)
    assert Path(f"{log}.died").exists()
    assert len(result) == 8
    assert result.num_errors == 0
    again = Counter(lines(log)) - Counter(set(lines(log)))
    assert sum(again.values()) <= 2 * (
        MOST - 3
    )  # two jobs may have been on the worker, at most six epochs each


PROGRAM = """
    import json, os, signal, sys, time
    os.environ["PREFECT_API_URL"] = {api!r}  # or each run would start a server of its own
    sys.path.append({here!r})
    from counted import lines
    from pathlib import Path
    from tuned import rows, train
    from prefect_tune import tune
    from prefect_tune.space import uniform

    log = Path({log!r})
    space = {{"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0), "log": str(log)}}
    def run():
        # A process of its own, without the seconds that importing takes.
        pid = os.fork()
        if pid:
            return pid
        found = tune(train, space, **{options!r})
        print(json.dumps([rows(found), found.cost.trained]), flush=True)
        os._exit(0)

    killed = []
    for point in {points!r}:
        pid = run()
        while len(lines(log)) < point:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        time.sleep(1.0)  # what its jobs still say goes to nobody
        killed.append(len(lines(log)))
    os.waitpid(run(), 0)
    print(json.dumps(killed), flush=True)
"""


def killed(
    script: Script, folder: Path, api: str, workers: str, points: list[int], concurrent: int
) -> tuple[list[int], list]:
    """(epochs in the log when each killed run was over, [table, units trained] of the run after them)."""
    options = {**ASKED, "cluster": workers, "store": str(folder / "store"), "max_concurrent": concurrent}
    here = str(Path(__file__).parent)
    script.start(PROGRAM.format(here=here, api=api, log=str(folder / "log"), options=options, points=points))
    code, printed = script.finish()
    assert code == 0, printed
    import json

    found, counts = (json.loads(line) for line in printed.splitlines()[-2:])
    return counts, found


@pytest.mark.faults
def test_killed_driver_goes_on_to_the_same_table(
    new_script: NewScript, served_api: str, workers: str, tmp_path: Path
) -> None:
    """One trial at a time, the driver killed three times: the table of a search that was left alone."""
    space = {**SPACE, "log": str(tmp_path / "alone")}
    alone = tune(train, space, cluster=workers, store=str(tmp_path / "other"), max_concurrent=1, **ASKED)
    (tmp_path / "cut").mkdir()
    _, (table, trained) = killed(new_script(), tmp_path / "cut", served_api, workers, [2, 11, 20], 1)
    assert [row[2:] for row in table] == [row[2:] for row in rows(alone)]  # keys hold the log's name
    log = lines(tmp_path / "cut" / "log")
    again = Counter(log) - Counter(set(log))
    assert sum(again.values()) <= 3 * (MOST - 3)  # for each kill, at most the stretch in flight
    assert len(set(log)) == alone.cost.trained
    assert trained <= alone.cost.trained


@pytest.mark.faults
def test_killed_driver_repeats_at_most_what_was_in_flight(
    new_script: NewScript, served_api: str, workers: str, tmp_path: Path
) -> None:
    """Two trials at a time, the driver killed twice: every trial ends, two stretches a kill are repeated."""
    _, (table, _) = killed(new_script(), tmp_path, served_api, workers, [5, 15], 2)
    assert len(table) == 8
    assert all(row[2] in ("stopped", "completed") for row in table)
    log = lines(tmp_path / "log")
    again = Counter(log) - Counter(set(log))
    assert sum(again.values()) <= 2 * 2 * (MOST - 3)
    assert max(Counter(log).values()) <= 3


def test_search_that_runs_is_not_started_twice(workers: str, tmp_path: Path) -> None:
    """The journal belongs to one process at a time; the second is told so before it does anything."""
    from prefect_tune.store.journal import Journal, JournalBusy

    space = {**SPACE, "log": str(tmp_path / "log")}
    asked = {"cluster": workers, "store": str(tmp_path / "store"), **ASKED}
    tune(train, space, **asked)
    (path,) = (tmp_path / "store" / "journal").glob("*.jsonl")
    held: Any = Journal.open(tmp_path / "store", path.stem)
    with pytest.raises(JournalBusy, match="another process"):
        tune(train, space, **asked)
    held.close()
