"""Every way to a cluster and an API, from every kind of program, and nothing left behind afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest
from distributed import LocalCluster
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_dask import DaskTaskRunner

from prefect_tune.errors import ClusterUnreachable, InfrastructureError, UserError
from prefect_tune.tasks.api import ensure_api
from prefect_tune.tasks.cluster import ClusterLease, enclosing_cluster, open_cluster
from prefect_tune.tasks.runner import TuneTaskRunner

from .conftest import Script

pytestmark = pytest.mark.cluster

NewScript = Callable[[], Script]

# No main guard: workers that imported this file again would start clusters without end.
SEARCH = """
    import json, os, sys, threading
    import psutil
    from prefect import flow, task
    from prefect.settings import PREFECT_API_URL
    from prefect_tune.tasks.api import api_settings, ensure_api
    from prefect_tune.tasks.cluster import open_cluster
    from prefect_tune.tasks.runner import TuneTaskRunner

    urls = []
    starting = threading.Thread(target=lambda: urls.append(ensure_api()))
    starting.start()
    lease = open_cluster(n_workers=2)
    starting.join()

    @task
    def look(x):
        import mine
        import time
        time.sleep(0.1)
        threads = os.environ["OMP_NUM_THREADS"]
        return mine.square(x), os.getpid(), PREFECT_API_URL.value(), threads

    @flow(task_runner=TuneTaskRunner(address=lease.address))
    def search():
        return [future.result() for future in [look.submit(x) for x in range(8)]]
"""
REPORT = """
    with api_settings(urls[0]):
        seen = search()
    roles = [process.cmdline()[3] for process in psutil.Process().children(recursive=True)]
    print(json.dumps({
        "squares": [row[0] for row in seen],
        "workers": len({row[1] for row in seen} - {os.getpid()}),
        "urls": sorted({row[2] for row in seen} - {urls[0]}),
        "threads": sorted({row[3] for row in seen}),
        "servers": sum('"role": "server"' in role for role in roles),
        "processes": len(roles),
        "slots": lease.n_slots,
    }))
"""
WHAT_A_SEARCH_REPORTS = {
    "squares": [x * x for x in range(8)],
    "workers": 2,
    "urls": [],  # none but the driver's
    "threads": ["1"],
    "servers": 1,
    "processes": 4,  # a server, a nursery and two workers
    "slots": 2,
}
WAIT = """
    import time
    with api_settings(urls[0]):
        print("ready", flush=True)
        time.sleep(60)
"""


def with_module(script: Script) -> Script:
    (script.folder / "mine.py").write_text("def square(x):\n    return x * x\n")
    return script


def test_script_without_main_guard(new_script: NewScript) -> None:
    """A plain script runs on two workers and one server, and leaves nothing."""
    script = with_module(new_script()).start(SEARCH + REPORT)
    assert script.report() == WHAT_A_SEARCH_REPORTS
    assert script.leaves_nothing(within=30)


def test_inside_a_running_event_loop(new_script: NewScript) -> None:
    """In a notebook, where a loop is running, the cluster starts and an async flow hears of its results."""
    code = """
        import asyncio, json
        from prefect import flow, task
        from prefect_tune.tasks.api import api_settings, ensure_api
        from prefect_tune.tasks.cluster import open_cluster
        from prefect_tune.tasks.runner import TuneTaskRunner

        @task
        def square(x):
            return x * x

        async def cell():
            lease = open_cluster(n_workers=1)

            @flow(task_runner=TuneTaskRunner(address=lease.address))
            async def search():
                loop, news = asyncio.get_running_loop(), asyncio.Queue()
                for x in range(4):
                    square.submit(x).add_done_callback(
                        lambda future: loop.call_soon_threadsafe(news.put_nowait, future)
                    )
                return sorted([(await news.get()).result() for _ in range(4)])

            with api_settings(ensure_api()):
                print(json.dumps(await search()))

        asyncio.run(cell())
    """
    script = new_script().start(code)
    assert script.report() == [0, 1, 4, 9]
    assert script.leaves_nothing(within=30)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("raise SystemError('on purpose')", 1, marks=pytest.mark.faults),
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, -15, marks=pytest.mark.faults),
        (signal.SIGKILL, -9),
    ],
    ids=["exception", "ctrl-c", "terminated", "killed"],
)
def test_nothing_is_left_however_the_driver_ends(new_script: NewScript, ending: Any, code: int) -> None:
    """After an exception, Ctrl-C, SIGTERM or SIGKILL no process and no temporary folder remains."""
    by_signal = isinstance(ending, signal.Signals)
    script = new_script().start(SEARCH + (WAIT if by_signal else f"    print('ready')\n    {ending}\n"))
    script.until("ready")
    if by_signal:
        assert len(script.left()) == 5  # driver, server, nursery, two workers: what is to vanish was there
        os.kill(script.process.pid, ending)
    returned, _ = script.finish()
    assert returned in (code, -ending if by_signal else code)
    assert script.leaves_nothing(within=30)


@pytest.fixture(scope="module")
def local(served_api: str) -> Iterator[ClusterLease]:
    """The default local cluster of this process, of two workers."""
    from prefect_tune.tasks.cluster import close_default_clusters

    with open_cluster(n_workers=2, resources={"GPU": 1}, api_url=served_api) as lease:
        yield lease
    close_default_clusters()


@task
def die(marker: str, times: int) -> int:
    """How often it died before, after dying `times` times."""
    path = Path(marker)
    deaths = len(path.read_text()) if path.exists() else 0
    if deaths < times:
        path.write_text("x" * (deaths + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return deaths


def test_killed_worker_is_replaced_and_the_task_run_repeated(local: ClusterLease, tmp_path: Path) -> None:
    """A task run whose worker is killed once runs again, and the cluster has its two workers back."""

    @flow(task_runner=TuneTaskRunner(address=local.address))
    def search() -> int:
        return die.submit(str(tmp_path / "once"), 1).result()

    assert search() == 1
    with distributed.Client(local.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)


def test_worker_killed_again_and_again_is_an_outcome(local: ClusterLease, tmp_path: Path) -> None:
    """A task run that kills every worker it gets ends with KilledWorker; others go on."""

    @flow(task_runner=TuneTaskRunner(address=local.address))
    def search() -> tuple[type, int]:
        deadly = die.submit(str(tmp_path / "always"), 1000)
        outcome = deadly.outcome(timeout=60)
        return type(outcome), die.submit(str(tmp_path / "never"), 0).result()

    assert search() == (distributed.KilledWorker, 0)


def test_default_cluster_is_used_again(local: ClusterLease) -> None:
    """Successive searches of one size share one cluster; giving a lease back does not end it."""
    with open_cluster(n_workers=2, resources={"GPU": 1}) as again:
        assert again.address == local.address
    with distributed.Client(local.address, set_as_default=False) as client:
        client.wait_for_workers(
            2, timeout=60
        )  # the test before this one killed some; their successors start up
        assert [worker["resources"] for worker in client.scheduler_info()["workers"].values()] == [
            {"GPU": 1}
        ] * 2


@pytest.fixture(scope="module")
def threads() -> Iterator[LocalCluster]:
    """A user's own cluster, of one worker with three threads."""
    with LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        yield cluster


@pytest.mark.parametrize("how", ["object", "address"])
def test_users_own_cluster(threads: LocalCluster, served_api: str, how: str) -> None:
    """A cluster object or its address is used, its threads counted, and it is not ours to close."""
    lease = open_cluster(threads if how == "object" else threads.scheduler_address)
    with lease:
        assert (lease.address, lease.n_slots) == (threads.scheduler_address, 3)
        square = task(lambda x: x * x, name="square")
        search = flow(lambda: square.submit(3).result(), name="search")
        assert search.with_options(task_runner=TuneTaskRunner(address=lease.address))() == 9
    assert threads.status == distributed.Status.running


def test_cluster_from_class_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class named with its options is started for the lease, and ended with it."""
    spec = {
        "class": "distributed.LocalCluster",
        "kwargs": {"n_workers": 2, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"},
    }
    with open_cluster(spec) as lease:
        assert lease.n_slots == 4
        address = lease.address
    monkeypatch.setattr("prefect_tune.tasks.cluster._REACH", 1.0)
    with pytest.raises(ClusterUnreachable):
        open_cluster(address)


@pytest.mark.parametrize("runner", [TuneTaskRunner, DaskTaskRunner])
def test_cluster_of_the_enclosing_flow(threads: LocalCluster, served_api: str, runner: type) -> None:
    """Inside a flow on Dask, a search without a wish runs on that flow's cluster; elsewhere there is none."""

    @flow(task_runner=runner(address=threads.scheduler_address))
    def outer() -> tuple[str | None, str]:
        with open_cluster() as lease:
            return enclosing_cluster(), lease.address

    assert outer() == (threads.scheduler_address,) * 2
    assert enclosing_cluster() is None


def test_started_cluster_of_the_enclosing_flow(served_api: str) -> None:
    """A runner that starts its own cluster lends that one, too."""
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}

    @flow(task_runner=TuneTaskRunner(cluster_class=LocalCluster, cluster_kwargs=options))
    def outer() -> int:
        assert enclosing_cluster() is not None
        return open_cluster().n_slots

    assert outer() == 2


def test_nobody_at_the_address() -> None:
    """An address where no scheduler answers is an error that names it and says what to do."""
    with pytest.raises(ClusterUnreachable, match=r"tcp://127\.0\.0\.1:9 .*leave the cluster out"):
        open_cluster("tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "spec", [3, {"class": "no.such.Class"}, {"kwargs": {}}, {"class": "a.B", "adopt": 1}]
)
def test_unusable_wish_is_refused(spec: Any) -> None:
    """What is no cluster is refused with the forms that are accepted."""
    with pytest.raises(UserError, match="cluster: "):
        open_cluster(spec)


def test_configured_api_must_answer() -> None:
    """With a PREFECT_API_URL where nobody answers nothing else is started; the error names the URL."""
    url = "http://127.0.0.1:9/api"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(InfrastructureError, match=url):
        ensure_api()


def test_api_in_force_is_used(served_api: str) -> None:
    """A running API that is configured is the answer, each time."""
    assert [ensure_api(), ensure_api()] == [served_api] * 2
