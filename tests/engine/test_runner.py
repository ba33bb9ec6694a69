"""The task runner: cheap task runs that show in Prefect as stock ones do, and futures that hide nothing."""

from __future__ import annotations

import asyncio
import pickle
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import dask
import distributed
import pytest
from distributed import LocalCluster, Scheduler, Worker
from distributed.deploy.spec import SpecCluster
from prefect import flow, get_run_logger, tags, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED

from prefect_tune.tasks import internals, remote
from prefect_tune.tasks.futures import CancelledError
from prefect_tune.tasks.runner import TuneFuture, TuneTaskRunner, key_prefix

pytestmark = pytest.mark.usefixtures("prefect_api")


@task
def double(x: int) -> int:
    return 2 * x


@task
def fail(x: int) -> int:
    raise LookupError(f"no {x}")


@task
def worker_name() -> str:
    return str(distributed.get_worker().name)


@pytest.fixture
def runner(dask_threads: SpecCluster) -> TuneTaskRunner:
    return TuneTaskRunner(address=dask_threads.scheduler_address)


def run(body: Callable[..., Any], runner: TuneTaskRunner) -> Any:
    """What `body` returns when it is the body of a flow with this runner."""
    return flow(body, task_runner=runner, persist_result=False)()


def soon(look: Callable[[], Any], *, within: float = 20.0) -> Any:
    """The first true answer of `look`; task runs reach the API by events, a moment after they ended."""
    deadline = time.monotonic() + within
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def node_of(future: TuneFuture[Any], cluster: SpecCluster) -> Any:
    """The scheduler's own record of a submitted task run; submitting does not wait for the scheduler."""
    return soon(lambda: cluster.scheduler.tasks.get(future.wrapped_future.key))


def task_runs(flow_run_id: Any, count: int) -> list[TaskRun]:
    """The task runs of a flow run as the API shows them, once `count` of them have ended."""

    def look() -> list[TaskRun] | None:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])), limit=200
            )
        return runs if sum(run.state is not None and run.state.is_final() for run in runs) >= count else None

    return soon(look) or []


def test_fast_path_is_active_on_the_pinned_prefect() -> None:
    """Every semi-private name of Prefect that the fast runner needs exists, with the signature it needs."""
    assert internals.PROBLEMS == []
    assert internals.FAST_PATH


def test_many_task_runs_show_in_the_api(runner: TuneTaskRunner) -> None:
    """Each submitted task run is a row of its flow run: completed, named after its task."""

    def body() -> tuple[str, list[int]]:
        futures = [double.submit(x) for x in range(40)]
        return flow_run.get_id(), [future.result() for future in futures]

    flow_run_id, results = run(body, runner)
    assert results == [2 * x for x in range(40)]
    rows = task_runs(flow_run_id, 40)
    assert [row.state_name for row in rows] == ["Completed"] * 40
    assert all(row.name.startswith("double-") for row in rows)
    assert {str(row.flow_run_id) for row in rows} == {flow_run_id}


def test_context_is_hydrated_once_per_process(
    runner: TuneTaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many task runs a flow run has, each worker thread builds its context once."""
    hydrated: list[int] = []
    original = remote._Scope._hydrate

    def counting(scope: Any, shared: dict[str, Any]) -> Any:
        hydrated.append(threading.get_ident())
        return original(scope, shared)

    monkeypatch.setattr(remote._Scope, "_hydrate", counting)
    run(lambda: [future.result() for future in [double.submit(x) for x in range(20)]], runner)
    assert len(hydrated) == 1  # the cluster is in this process and has two threads


def test_failing_task_shows_failed_and_raises_its_own_exception(runner: TuneTaskRunner) -> None:
    """A task's exception comes through with its type; its outcome is a Failed state, in the API too."""

    def body() -> tuple[str, Any]:
        future = fail.submit(7)
        outcome = future.outcome()
        with pytest.raises(LookupError, match="no 7"):
            future.result()
        return flow_run.get_id(), outcome.name

    flow_run_id, name = run(body, runner)
    assert name == "Failed"
    assert [row.state_name for row in task_runs(flow_run_id, 1)] == ["Failed"]


def test_hit_of_the_cache_is_named_cached(runner: TuneTaskRunner, tmp_path: Any) -> None:
    """The second task run with one key is Cached, and gives the first one's result."""
    policy = CacheKeyFnPolicy(cache_key_fn=lambda context, parameters: f"k{parameters['x']}")
    policy = policy.configure(key_storage=str(tmp_path / "keys"))
    cached = double.with_options(cache_policy=policy, persist_result=True)

    def body() -> list[tuple[str, int]]:
        runs = []
        for _ in range(2):
            future = cached.submit(4)
            runs.append((future.outcome().name, future.result()))
        return runs

    assert run(body, runner) == [("Completed", 8), ("Cached", 8)]


def test_annotations_reach_the_scheduler(runner: TuneTaskRunner, dask_threads: SpecCluster) -> None:
    """`dask.annotate(resources=...)` around submit places the task run on the worker that has them."""

    def body() -> tuple[set[str], set[str]]:
        with dask.annotate(resources={"GPU": 1}, priority=10):
            futures = [worker_name.submit() for _ in range(6)]
        nodes = [node_of(future, dask_threads) for future in futures]
        seen = {
            str(worker.name) for node in nodes for worker in soon(lambda node=node: set(node.who_has or ()))
        }
        return seen, {future.result() for future in futures}

    assert run(body, runner) == ({"gpu"}, {"gpu"})


def test_upstream_futures_are_dask_dependencies(runner: TuneTaskRunner, dask_threads: SpecCluster) -> None:
    """A future among the parameters, however deep, is a dependency for Dask and an input for Prefect."""

    @task
    def total(values: dict[str, list[int]]) -> int:
        return sum(values["all"])

    def body() -> tuple[str, int, set[str], set[str]]:
        parts = [double.submit(x) for x in (1, 2, 3)]
        whole = total.submit({"all": parts})
        above = {str(upstream.key) for upstream in node_of(whole, dask_threads).dependencies}
        keys = {part.wrapped_future.key for part in parts}
        return flow_run.get_id(), whole.result(), above, keys

    flow_run_id, result, above, keys = run(body, runner)
    assert result == 2 + 4 + 6
    assert above == keys
    rows = task_runs(flow_run_id, 4)
    [whole] = [row for row in rows if row.name.startswith("total")]
    parts = {row.id for row in rows if row.name.startswith("double")}
    assert {upstream.id for upstream in whole.task_inputs["values"]} == parts


def test_wait_for_orders_task_runs(runner: TuneTaskRunner) -> None:
    """A task run starts after those it waits for have ended, and not at all when one of them failed."""

    @task
    def clock(pause: float) -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(pause)
        return start, time.monotonic()

    def body() -> tuple[Any, Any, str]:
        first = clock.submit(0.2)
        second = clock.submit(0.0, wait_for=[first])
        never = clock.submit(0.0, wait_for=[fail.submit(1)])
        return first.result(), second.result(), never.outcome().name

    (_, ended), (started, _), never = run(body, runner)
    assert started >= ended
    assert never == "NotReady"


def test_tags_belong_to_one_task_run(runner: TuneTaskRunner) -> None:
    """Tags around a submit mark that task run and no later one; names follow their template."""
    named = double.with_options(task_run_name="twice-{x}")

    def body() -> str:
        with tags("rung-1"):
            named.submit(1).wait()
        for x in range(2, 6):
            named.submit(x).wait()
        return flow_run.get_id()

    rows = {row.name: set(row.tags) for row in task_runs(run(body, runner), 5)}
    assert rows == {"twice-1": {"rung-1"}, **{f"twice-{x}": set() for x in range(2, 6)}}


def test_submitting_task_is_the_parent(runner: TuneTaskRunner) -> None:
    """A task run submitted from inside a task run names it as its parent."""

    @task
    def outer() -> int:
        return double.submit(3).result()

    def body() -> tuple[str, int]:
        return flow_run.get_id(), outer()

    flow_run_id, result = run(body, runner)
    assert result == 6
    rows = {row.name.split("-")[0]: row for row in task_runs(flow_run_id, 2)}
    assert [parent.id for parent in rows["double"].task_inputs["__parents__"]] == [rows["outer"].id]


def test_warnings_reach_the_api_and_small_talk_does_not(runner: TuneTaskRunner) -> None:
    """Of what a task run logs on a worker, warnings and worse are kept by the API."""

    @task
    def talk() -> None:
        get_run_logger().info("small talk")
        get_run_logger().warning("careful")

    def body() -> str:
        talk.submit().wait()
        return flow_run.get_id()

    flow_run_id = run(body, runner)

    def from_workers() -> set[str]:
        with get_client(sync_client=True) as client:
            logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])))
        return {log.message for log in logs if log.task_run_id is not None}

    assert soon(lambda: "careful" in from_workers())
    assert "small talk" not in from_workers()


def test_workers_are_told_the_api_of_the_driver(runner: TuneTaskRunner) -> None:
    """A task run sees the driver's API URL, and may not start a server of its own."""

    @task
    def settings_seen() -> tuple[str, bool]:
        return PREFECT_API_URL.value(), PREFECT_SERVER_EPHEMERAL_ENABLED.value()

    assert run(lambda: settings_seen.submit().result(), runner) == (PREFECT_API_URL.value(), False)


def test_services_follow_the_driver_to_its_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that served a driver with another API retires the services that still send there, once."""
    retired: list[str] = []
    for service in (internals.EventsWorker, internals.APILogWorker):
        monkeypatch.setattr(service, "drain_all", lambda timeout, name=service.__name__: retired.append(name))
    monkeypatch.setattr(remote, "_api_url", None)
    for url in ("http://one/api", "http://one/api", "http://two/api", "http://two/api"):
        remote._follow_api(url)
    assert retired == ["EventsWorker", "APILogWorker"]


def test_unread_runs_are_cancelled_with_the_flow(runner: TuneTaskRunner, dask_threads: SpecCluster) -> None:
    """Task runs that nobody waited for leave the cluster when the flow ends, a client shared or not."""

    @task
    def nap() -> None:
        time.sleep(0.3)

    kept: list[Any] = []

    def body() -> None:
        kept.extend(nap.submit() for _ in range(20))

    with runner:  # holds the shared client open, as an enclosing flow does
        assert runner.client.status == "running"
        run(body, runner)
        assert isinstance(kept[-1].outcome(), CancelledError)
        assert soon(lambda: kept[-1].wrapped_future.key not in dask_threads.scheduler.tasks)


def test_async_flow_hears_of_results_without_blocking(runner: TuneTaskRunner) -> None:
    """In an async flow a callback brings the news to the loop, which goes on turning meanwhile."""

    @task
    async def half(x: int) -> float:
        return x / 2

    @task
    def slow(x: int) -> int:
        time.sleep(0.3)
        return x

    async def body() -> tuple[int, list[Any]]:
        loop, news = asyncio.get_running_loop(), asyncio.Queue[TuneFuture[Any]]()
        turns = 0
        for future in (slow.submit(1), half.submit(5)):
            future.add_done_callback(lambda done: loop.call_soon_threadsafe(news.put_nowait, done))
        results: list[Any] = []
        while len(results) < 2:
            try:
                results.append((await asyncio.wait_for(news.get(), 0.02)).result())
            except TimeoutError:
                turns += 1
        return turns, sorted(results)

    turns, results = asyncio.run(flow(body, task_runner=runner)())
    assert results == [1, 2.5]
    assert turns > 0


def test_callback_of_a_finished_run_is_called_at_once(runner: TuneTaskRunner) -> None:
    """A callback added after the end is called too, and exactly once."""

    def body() -> int:
        heard: queue.Queue[Any] = queue.Queue()
        future = double.submit(1)
        future.add_done_callback(heard.put)
        assert heard.get(timeout=10) is future
        future.wait()
        future.add_done_callback(heard.put)
        assert heard.get(timeout=10) is future
        return heard.qsize()

    assert run(body, runner) == 0


def test_consumed_future_is_released_and_still_an_input(
    runner: TuneTaskRunner, dask_threads: SpecCluster
) -> None:
    """Once read, the cluster forgets a result; passed on, its state stands in and links the two runs."""

    def body() -> tuple[str, bool, int]:
        first = double.submit(5)
        key = first.wrapped_future.key
        assert first.result() == 10
        forgotten = soon(lambda: key not in dask_threads.scheduler.tasks)
        return flow_run.get_id(), forgotten, double.submit(first).result()

    flow_run_id, forgotten, result = run(body, runner)
    assert forgotten
    assert result == 20
    links = [row.task_inputs["x"] for row in task_runs(flow_run_id, 2)]
    assert sorted(len(inputs) for inputs in links) == [0, 1]


def test_released_future_cannot_be_passed_on(runner: TuneTaskRunner) -> None:
    """A future that was released unread says so when it is used as an input."""

    def body() -> None:
        future = double.submit(1)
        future.release()
        with pytest.raises(ValueError, match="was released or lost"):
            double.submit(future)

    run(body, runner)


def test_cancelled_run_has_an_exception_as_outcome(runner: TuneTaskRunner) -> None:
    """A task run cancelled before it started ends with CancelledError, which `wait` survives."""

    @task
    def block(seconds: float) -> None:
        time.sleep(seconds)

    def body() -> Any:
        busy = [block.submit(0.5) for _ in range(2)]
        waiting = double.submit(1)
        waiting.cancel()
        waiting.wait()
        for future in busy:
            future.wait()
        with pytest.raises(CancelledError):
            waiting.result()
        return type(waiting.outcome())

    assert issubclass(run(body, runner), CancelledError)


def test_timeout_is_neither_outcome_nor_loss(runner: TuneTaskRunner) -> None:
    """A wait that is over too soon raises TimeoutError and takes nothing away from a later one."""

    @task
    def nap() -> str:
        time.sleep(0.5)
        return "up"

    def body() -> str:
        future = nap.submit()
        with pytest.raises(TimeoutError):
            future.outcome(timeout=0.05)
        return future.result()

    assert run(body, runner) == "up"


def test_lost_scheduler_is_an_outcome() -> None:
    """When the scheduler goes away, futures end with an exception; nobody waits for ever."""
    options = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    cluster = SpecCluster(
        workers={0: {"cls": Worker, "options": options}},
        scheduler={"cls": Scheduler, "options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"}},
    )

    @task
    def nap() -> None:
        time.sleep(1)

    def body() -> Any:
        future = [nap.submit() for _ in range(3)][-1]
        cluster.close()
        return type(future.outcome(timeout=20))

    with cluster:
        assert issubclass(run(body, TuneTaskRunner(address=cluster.scheduler_address)), Exception)


def test_key_prefix_names_the_dask_keys(runner: TuneTaskRunner) -> None:
    """Dask keys begin with the task's name, or with the prefix of the block or of the runner."""
    prefixed = TuneTaskRunner(address=runner.address, key_prefix="search-7")

    def body() -> list[str]:
        futures = [double.submit(1)]
        with key_prefix("rung 3"):
            futures.append(double.submit(2))
        return [future.wrapped_future.key.rsplit("-", 1)[0] for future in futures]

    assert run(body, runner) == ["double", "rung_3"]
    assert run(body, prefixed) == ["search_7", "rung_3"]


def test_big_context_is_sent_once(runner: TuneTaskRunner, dask_threads: SpecCluster) -> None:
    """A flow with big parameters gives them to the cluster once, not with each task run."""

    @flow(task_runner=runner, validate_parameters=False)
    def body(ballast: str) -> list[str]:
        futures = [double.submit(x) for x in range(3)]
        nodes = [node_of(future, dask_threads) for future in futures]
        shared = [{str(upstream.key) for upstream in node.dependencies} for node in nodes]
        assert [future.result() for future in futures] == [0, 2, 4]
        return [key for keys in shared for key in keys]

    keys = body("x" * (1 << 18))
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_stock_path_gives_the_same(runner: TuneTaskRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Prefect's internals moved, task runs go the stock way, with the same results and futures."""
    monkeypatch.setattr(internals, "FAST_PATH", False)

    def body() -> tuple[str, list[int], str]:
        futures = [double.submit(x) for x in range(3)]
        assert all(type(future) is TuneFuture for future in futures)
        results = [future.result() for future in futures]
        return flow_run.get_id(), results, fail.submit(1).outcome().name

    flow_run_id, results, failed = run(body, runner)
    assert (results, failed) == ([0, 2, 4], "Failed")
    assert len(task_runs(flow_run_id, 4)) == 4


def test_duplicate_keeps_the_cluster_and_pickle_its_address(dask_threads: SpecCluster) -> None:
    """Prefect duplicates the runner for each run and pickles it; neither forgets the cluster."""
    asked = TuneTaskRunner(cluster=dask_threads, key_prefix="k")
    assert asked.duplicate() == asked
    assert asked.duplicate()._cluster is dask_threads
    travelled = pickle.loads(pickle.dumps(asked))
    assert (travelled.address, travelled.key_prefix) == (dask_threads.scheduler_address, "k")
    assert run(lambda: double.submit(4).result(), asked) == 8


def test_cluster_without_address_is_refused() -> None:
    """A cluster object that is not running can't be used, and is refused where it is given."""

    class NotStarted:
        scheduler_address = ""

    with pytest.raises(ValueError, match="NotStarted has no scheduler address"):
        TuneTaskRunner(cluster=NotStarted())


def test_default_client_does_not_beat_the_address(runner: TuneTaskRunner, dask_threads: SpecCluster) -> None:
    """A default Dask client in the process, of another cluster, is not used when an address was given."""
    quiet = {"dashboard_address": ":0", "n_workers": 1, "processes": False}
    with LocalCluster(**quiet) as other, distributed.Client(other), runner:
        assert runner.client.scheduler.address == dask_threads.scheduler_address


def test_runners_on_one_address_share_a_client(runner: TuneTaskRunner) -> None:
    """A subflow's runner uses its parent's connection, and leaves it open."""
    with runner, runner.duplicate() as inner:
        client = runner.client
        assert inner.client is client
        inner.__exit__(None, None, None)
        assert client.status == "running"
        inner.__enter__()
    assert client.status == "closed"
