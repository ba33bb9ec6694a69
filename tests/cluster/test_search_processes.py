"""Searches by processes that are started, stopped and killed, and what is left of them afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Nanny, Scheduler
from distributed.deploy.spec import SpecCluster
from prefect import flow
from prefect_dask import DaskTaskRunner
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import Pipeline

from prefect_tune import GridSearchCV, grid_search
from prefect_tune.errors import ClusterUnreachable
from prefect_tune.store import StoreWarning
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

from .conftest import _MARK, Script

# The workers import it, too: they get this process's path.
sys.path.append(str(Path(__file__).parent))
from counted import Glutton, Noted, Stump, lines

pytestmark = pytest.mark.cluster

NewScript = Callable[[], Script]
X, y = load_iris(return_X_y=True)
GRID = {"column": [0, 2], "threshold": [1.0, 3.0, 5.0]}


@pytest.fixture(scope="module")
def workers(served_api: str) -> Iterator[str]:
    """The address of a local cluster of two worker processes, shared by most tests here."""
    with open_cluster(n_workers=2, api_url=served_api) as lease:
        yield lease.address
    close_default_clusters()


@pytest.fixture
def shared_api(served_api: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Scripts started in this test use the API of this process, and need not start one."""
    monkeypatch.setenv("PREFECT_API_URL", served_api)
    return served_api


def expected(estimator: Any, grid: Any = GRID) -> list[float]:
    """The scores that scikit-learn finds."""
    own = estimator.set_params(
        **{name: "/dev/null" for name in estimator.get_params() if name.endswith("log")}
    )
    return list(model_selection.GridSearchCV(own, grid, cv=3).fit(X, y).cv_results_["mean_test_score"])


def scores(search: Any) -> list[float]:
    found = search.cv_results_ if hasattr(search, "cv_results_") else search.cv_results
    return list(found["mean_test_score"])


# --- programs as users write them -------------------------------------------------------------------------

# No main guard, an estimator and a scorer of the program's own.
PROGRAM = """
    import json, os, sys
    import numpy as np
    import psutil
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.datasets import load_iris
    from prefect_tune import GridSearchCV

    class Threshold(ClassifierMixin, BaseEstimator):
        def __init__(self, at=0.0):
            self.at = at
        def fit(self, X, y):
            with open({log!r}, "a") as log:
                log.write("fit\\n")
            self.classes_ = np.unique(y)
            return self
        def predict(self, X):
            return (X[:, 2] > self.at).astype(int)

    def share(estimator, X, y):
        return float(np.mean(estimator.predict(X) == y))

    def search():
        found = GridSearchCV(Threshold(), {{"at": [1.0, 2.5, 4.0]}}, scoring=share, cv=3, **{options!r})
        return found.fit(*load_iris(return_X_y=True))

    def children():
        return sorted(child.pid for child in psutil.Process().children(recursive=True))

    first = search()
    before = children()
    second = search()
    print(json.dumps({{
        "scores": list(first.cv_results_["mean_test_score"]),
        "own class": type(first.best_estimator_) is Threshold and Threshold.fit.__globals__ is globals(),
        "ran": [first.search_result_.cost.run, second.search_result_.cost.run],
        "same processes": before == children(),
        "processes": len(before),
    }}))
"""


def program(folder: Path, **options: Any) -> str:
    return PROGRAM.format(log=str(folder / "fits.log"), options={"store": str(folder / "store"), **options})


def test_program_without_main_guard(new_script: NewScript, tmp_path: Path) -> None:
    """One on standard input runs on its own API and workers, which its second search finds still there."""
    script = new_script().start(program(tmp_path, n_jobs=2), by_stdin=True)
    report = script.report()
    # Petals longer than 2.5 are kinds 1 and 2, both taken for kind 1; a third of each fold is of each kind.
    assert report["scores"][1] == pytest.approx(100 / 150)
    assert report["own class"]
    assert report["ran"] == [3 * 3 * 2, 0]  # a fit and a score for each candidate and fold
    assert report["processes"] == 4  # two workers, what has forked them, an API
    assert report["same processes"]
    assert len(lines(tmp_path / "fits.log")) == 3 * 3 + 1
    assert script.leaves_nothing(within=30)


def test_edited_class_is_another_class(
    new_script: NewScript, tmp_path: Path, workers: str, shared_api: str
) -> None:
    """A program run again finds its results; after an edit of its estimator they are no longer its."""
    text, log = program(tmp_path, cluster=workers), tmp_path / "fits.log"
    assert new_script().start(text).report()["ran"] == [18, 0]
    assert len(lines(log)) == 10
    again = new_script().start(text).report()
    assert (again["ran"], again["own class"]) == ([0, 0], True)  # though another process has fitted it
    assert len(lines(log)) == 10
    edited = text.replace("X[:, 2] > self.at", "X[:, 2] >= self.at")
    report = new_script().start(edited).report()
    assert report["ran"] == [18, 0]
    assert len(lines(log)) == 20


def test_notebook(
    new_script: NewScript, tmp_path: Path, workers: str, shared_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel, where a loop is running, a search is a plain call or is awaited."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra: notebook)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra: notebook)")
    import nbformat

    script = new_script()
    monkeypatch.setenv(_MARK, script.mark)
    monkeypatch.setenv("PREFECT_HOME", str(script.home))
    awaited = f"""
        from prefect_tune import agrid_search
        grid = {{"at": [1.0, 2.5, 4.0]}}
        place = {{"store": {str(tmp_path / "store")!r}, "cluster": {workers!r}}}
        place.update(scoring=share, cv=3)
        found = await agrid_search(Threshold(), grid, *load_iris(return_X_y=True), **place)
        print(found.cost.run)
    """
    cells = [
        nbformat.v4.new_code_cell(_dedent(code)) for code in (program(tmp_path, cluster=workers), awaited)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=str(tmp_path))
    printed = [
        "".join(out.get("text", "") for out in cell.outputs if out.get("name") == "stdout") for cell in cells
    ]
    report = json.loads(printed[0].splitlines()[-1])
    assert (report["ran"], report["own class"]) == ([18, 0], True)
    assert printed[1].splitlines()[-1] == "0"
    assert script.left() == []


def _dedent(code: str) -> str:
    import textwrap

    return textwrap.dedent(code)


# --- however it ends --------------------------------------------------------------------------------------

SLOW = """
    import json, sys
    sys.path.append({here!r})
    from counted import Stump, X_y
    from prefect_tune import GridSearchCV
    grid = {{"column": [0, 1, 2, 3], "threshold": [1.0, 2.0, 3.0, 4.0, 5.0]}}
    search = GridSearchCV(Stump(log={log!r}, pause=0.1), grid, cv=3, **{options!r}).fit(*X_y())
    print(json.dumps([search.search_result_.cost.run, list(search.cv_results_["mean_test_score"])]))
"""


def slow(folder: Path, **options: Any) -> str:
    """A search of 60 fits of a tenth of a second."""
    options = {"store": str(folder / "store"), **options}
    return SLOW.format(here=str(Path(__file__).parent), log=str(folder / "fits.log"), options=options)


def wait_for_lines(log: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(lines(log)) < count:
        assert time.monotonic() < deadline, "the search does not get going"
        time.sleep(0.02)


def test_ctrl_c_leaves_nothing(new_script: NewScript, tmp_path: Path, shared_api: str) -> None:
    """Ctrl-C in mid-search ends the program with its workers and temporary files."""
    script = new_script().start(slow(tmp_path, n_jobs=2))
    wait_for_lines(tmp_path / "fits.log", 10)
    os.kill(script.process.pid, signal.SIGINT)
    code, _ = script.finish(timeout=30)
    assert code in (130, -signal.SIGINT, 1)
    assert len(lines(tmp_path / "fits.log")) < 60
    assert script.leaves_nothing(within=30)


def test_killed_program_goes_on_where_it_was(
    new_script: NewScript, tmp_path: Path, workers: str, shared_api: str
) -> None:
    """After SIGKILL in mid-search the same program repeats at most what was in flight: the same table."""
    log = tmp_path / "fits.log"
    script = new_script().start(slow(tmp_path, n_jobs=2))
    wait_for_lines(log, 30)
    os.kill(script.process.pid, signal.SIGKILL)
    script.finish()
    assert script.leaves_nothing(within=30)
    interrupted = len(lines(log))
    assert 30 <= interrupted < 60
    ran, found = new_script().start(slow(tmp_path, cluster=workers)).report()
    grid = {"column": [0, 1, 2, 3], "threshold": [1.0, 2.0, 3.0, 4.0, 5.0]}
    assert found == expected(Stump(), grid)
    assert ran < 2 * 60
    in_flight = 2 * 10  # two workers, each with a task run of half a second to a second
    assert len(lines(log)) <= 60 + 1 + in_flight


def test_killed_worker_costs_nothing_but_time(workers: str, tmp_path: Path) -> None:
    """A fit that takes its worker down once runs again; the table is whole."""
    log = tmp_path / "fits.log"
    stump = Stump(log=str(log), dies=3.0)
    found = GridSearchCV(stump, GRID, cv=3, cluster=workers, store=tmp_path / "store").fit(X, y)
    assert scores(found) == expected(Stump())
    assert sum("dies" in line for line in lines(log)) == 1


def test_deadly_candidate_fails_alone(workers: str, tmp_path: Path) -> None:
    """A candidate that takes its process down is failed, with the signal; the others have their scores.

    A fold costs the two workers that Dask gives it, and one process of its own.
    """
    log = tmp_path / "fits.log"
    stump = Stump(log=str(log), dies=3.0, times=1000)
    search = GridSearchCV(stump, GRID, cv=3, cluster=workers, store=tmp_path / "store", refit=False)
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 18"):
        search.fit(X, y)
    table, own = search.cv_results_["mean_test_score"], expected(Stump())
    bad = [row for row, params in enumerate(search.cv_results_["params"]) if params["threshold"] == 3.0]
    assert [row for row, score in enumerate(table) if np.isnan(score)] == bad
    assert all(table[row] == own[row] for row in range(len(own)) if row not in bad)
    failures = search.search_result_.failures
    assert {failure.candidate for failure in failures} == set(bad)
    assert all("its process was ended by SIGKILL" in failure.cause for failure in failures), failures
    died = sum("dies" in line for line in lines(log))
    assert 6 < died <= 3 * 6, "it was tried in workers first, and at most twice on each fold"


@pytest.mark.faults
def test_candidate_that_kills_workers_from_afar_fails_alone(served_api: str, tmp_path: Path) -> None:
    """A candidate that takes down the worker even from a process of its own is given up."""
    log = tmp_path / "fits.log"
    stump, grid = Stump(log=str(log), dies=3.0, times=1000, far=True), {"threshold": [1.0, 3.0, 5.0]}
    cv = model_selection.ShuffleSplit(1, random_state=0)
    with pytest.warns(FitFailedWarning, match="1 fits failed out of a total of 3"):
        search = GridSearchCV(stump, grid, cv=cv, n_jobs=3, store=tmp_path / "store", refit=False).fit(X, y)
    table = search.cv_results_["mean_test_score"]
    own = model_selection.GridSearchCV(Stump(log="/dev/null"), grid, cv=cv, refit=False).fit(X, y)
    assert np.isnan(table[1])
    assert [table[0], table[2]] == [own.cv_results_["mean_test_score"][i] for i in (0, 2)]
    (failure,) = search.search_result_.failures
    assert (failure.candidate, "the workers that ran it were lost" in failure.cause) == (1, True)


# --- wherever it runs -------------------------------------------------------------------------------------

QUIET = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}
WORKER = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "dashboard_address": None}


@pytest.mark.faults
def test_memory_of_the_worker_is_the_limit(served_api: str, tmp_path: Path) -> None:
    """A candidate for whose memory Dask has ended a worker may not take more in a process of its own."""
    options = {**WORKER, "memory_limit": "700 MiB"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        SpecCluster(
            workers={"small": {"cls": Nanny, "options": options}},
            scheduler={"cls": Scheduler, "options": QUIET},
        ) as small,
    ):
        glutton, grid = Glutton(log=str(tmp_path / "fits.log"), dies=3.0), {"threshold": [1.0, 3.0]}
        search = GridSearchCV(glutton, grid, cv=2, cluster=small, store=tmp_path / "store", refit=False)
        with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 4"):
            search.fit(X, y)
    causes = [(failure.candidate, failure.cause) for failure in search.search_result_.failures]
    assert [row for row, _ in causes] == [1, 1]
    assert all(re.search(r"it took \d+ MiB; its worker may have 700 MiB", why) for _, why in causes), causes


@pytest.fixture(scope="module")
def uneven(served_api: str) -> Iterator[SpecCluster]:
    """A user's own cluster: two worker processes, of which one has the resource GPU."""
    plain = {"cls": Nanny, "options": {**WORKER, "name": "plain"}}
    gpu = {"cls": Nanny, "options": {**WORKER, "name": "gpu", "resources": {"GPU": 1}}}
    with SpecCluster(
        workers={"plain": plain, "gpu": gpu}, scheduler={"cls": Scheduler, "options": QUIET}
    ) as cluster:
        yield cluster


def test_resources_decide_where_a_step_runs(uneven: SpecCluster, tmp_path: Path) -> None:
    """Fits of the step that needs a GPU run on the worker that has it; preparation may run anywhere."""
    log = str(tmp_path / "fits.log")
    pipe = Pipeline([("prepare", Noted(log=log)), ("clf", Stump(log=log, pause=0.02))])
    grid = {f"clf__{name}": values for name, values in GRID.items()}
    place = {"cluster": uneven, "store": tmp_path / "store", "resources": {"clf": {"GPU": 1}}}
    found = GridSearchCV(pipe, grid, cv=3, **place).fit(X, y)
    assert scores(found) == expected(pipe, grid)
    ran_on = [line.split()[-1] for line in lines(tmp_path / "fits.log") if line.startswith("fit")]
    assert len(ran_on) == 6 * 3 + 1
    assert set(ran_on) == {"gpu"}


@pytest.mark.parametrize("how", ["object", "address", "class", "enclosing flow"])
def test_cluster_of_the_users_choice(how: str, uneven: SpecCluster, tmp_path: Path) -> None:
    """A cluster object, an address, a class with options, or the cluster of the flow around the search."""
    cluster = {
        "object": uneven,
        "address": uneven.scheduler_address,
        "class": {
            "class": "distributed.LocalCluster",
            "kwargs": {
                "n_workers": 1,
                "threads_per_worker": 2,
                "processes": False,
                "dashboard_address": None,
            },
        },
    }.get(how)
    log = tmp_path / "fits.log"

    def search() -> list[float]:
        place = {"cluster": cluster, "store": str(tmp_path / "store"), "verbose": 0}
        return scores(grid_search(Stump(log=str(log)), GRID, X, y, cv=3, **place))

    if how == "enclosing flow":
        runner = DaskTaskRunner(address=uneven.scheduler_address)
        found = flow(search, name="around", task_runner=runner, persist_result=False)()
    else:
        found = search()
    assert found == expected(Stump())
    ran_on = {line.split()[-1] for line in lines(log)}
    assert ran_on == {"0"} if how == "class" else ran_on <= {"plain", "gpu"}


def test_unreachable_cluster_is_said_before_anything_runs(served_api: str, tmp_path: Path) -> None:
    """An address where nobody answers is an error that names it; nothing was fitted."""
    log = tmp_path / "fits.log"
    with pytest.raises(ClusterUnreachable, match=r"tcp://127\.0\.0\.1:9"):
        grid_search(
            Stump(log=str(log)), GRID, X, y, cluster="tcp://127.0.0.1:9", store=str(tmp_path / "store")
        )
    assert not log.exists()


# --- whatever happens to the store ------------------------------------------------------------------------

STORES = """
    import json, os, subprocess, sys, warnings
    sys.path.append({here!r})
    from counted import Stump, X_y, lines
    from pathlib import Path
    from prefect_tune import GridSearchCV

    base = Path({base!r})
    def search(name, thresholds):
        log = base / "fits.log"
        log.unlink(missing_ok=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            grid = {{"column": [0, 2], "threshold": thresholds}}
            found = GridSearchCV(Stump(log=str(log)), grid, cv=3, n_jobs=2, store=base / name).fit(*X_y())
        said = [str(warning.message) for warning in caught if warning.category.__name__ == "StoreWarning"]
        right = found.predict(X_y()[0][:3]).tolist() == found.best_estimator_.predict(X_y()[0][:3]).tolist()
        return [list(found.cv_results_["mean_test_score"]), len(lines(log)), said, right]

    def mount(*arguments):
        subprocess.run(["mount", *arguments], check=True)

    report = {{}}
    report["fresh"] = search("ro/store", [1.0, 3.0, 5.0])
    mount("--bind", str(base / "ro"), str(base / "ro"))
    mount("-o", "remount,bind,ro", str(base / "ro"))
    report["known"] = search("ro/store", [1.0, 3.0, 5.0])
    report["wider"] = search("ro/store", [1.0, 3.0, 5.0, 7.0])
    report["missing"] = search("ro/not/there", [1.0, 3.0, 5.0])
    mount("-t", "tmpfs", "-o", "size=24k", "tmpfs", str(base / "full"))
    report["full"] = search("full/store", [1.0, 3.0, 5.0])
    print(json.dumps(report))
"""


@pytest.mark.faults
def test_store_that_cannot_be_written(new_script: NewScript, tmp_path: Path, shared_api: str) -> None:
    """On a read-only, a missing and a full place the search is right; it keeps nothing, and says so once."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("mounting in a namespace of one's own is not permitted here")
    for name in ("ro", "full"):
        (tmp_path / name).mkdir()
    code = _dedent(STORES.format(here=str(Path(__file__).parent), base=str(tmp_path)))
    again = "import os, sys\nif 'ALONE' not in os.environ:\n    os.environ['ALONE'] = '1'\n"
    again += "    os.execvp('unshare', ['unshare', '-rm', sys.executable, __file__])\n"
    report = new_script().start(again + code).report()
    right = expected(Stump())
    wider = expected(Stump(), {**GRID, "threshold": [1.0, 3.0, 5.0, 7.0]})
    found = {name: table for name, (table, _, _, _) in report.items()}
    assert found == {"fresh": right, "known": right, "wider": wider, "missing": right, "full": right}
    fits = {name: count for name, (_, count, _, _) in report.items()}
    # Nineteen are 18 and the best on all rows. The store's hits count although nothing can be added.
    assert (fits["fresh"], fits["known"], fits["missing"], fits["full"]) == (19, 0, 19, 19)
    assert fits["wider"] in (6, 7)
    warned = {name: len(said) for name, (_, _, said, _) in report.items()}
    # Where the disk fills up under way, the store says why and the search what follows.
    assert warned == {"fresh": 0, "known": 1, "wider": 1, "missing": 1, "full": 2}


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_store_is_a_miss(damage: str, workers: str, tmp_path: Path) -> None:
    """Files that were cut short or changed on disk are found out and computed again: the same table."""
    first, second = tmp_path / "first", tmp_path / "second"
    log = tmp_path / "fits.log"

    def search(store: Path) -> list[float]:
        return scores(GridSearchCV(Stump(log=str(log)), GRID, cv=3, cluster=workers, store=store).fit(X, y))

    right = search(first)
    assert right == expected(Stump())
    shutil.copytree(first, second)  # at another place, so that no process remembers what it wrote there
    hit = 0
    for path in second.rglob("*"):
        if not path.is_file() or path.name == "FORMAT" or "reports" in path.parts:
            continue
        data = bytearray(path.read_bytes())
        if damage == "truncated":
            del data[len(data) // 2 :]
        else:
            data[len(data) // 2] ^= 0xFF
        path.chmod(0o600)
        path.write_bytes(data)
        hit += 1
    assert hit > 3
    with pytest.warns(StoreWarning, match="put aside"):
        assert search(second) == right
    assert len(lines(log)) == 2 * 19
