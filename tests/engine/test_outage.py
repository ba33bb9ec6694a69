"""The Prefect API goes away in mid-search: nothing that was trained is lost, whether it comes back or not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import learners
import outage_program as program
import pytest
from adaptive_here import search
from api_process import LONG, ApiProcess, until
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from prefect_tune.errors import ApiUnreachable
from prefect_tune.flows import outage


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[ApiProcess]:
    started = ApiProcess(prefect_home(tmp_path_factory.mktemp("outage") / "home"))
    yield started
    started.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The table and the model when nothing goes wrong."""
    return program.table(searched(tmp_path_factory.mktemp("undisturbed")))


def searched(store: Path) -> Any:
    """The result of the program's search in this process, where no API is asked for."""
    options = {**program.OPTIONS, "store": store}
    return search("hyperband", learners.Held(), program.RATES, *program.rows(), **options)


class Child:
    """The program, started; it holds in the middle of training until it is told to go on."""

    def __init__(self, server: ApiProcess, folder: Path, patience: float) -> None:
        self.log, self._go = folder / "calls", folder / "go"
        environment = {**server.environment, "PREFECT_API_URL": server.url, "PREFECT_LOGGING_LEVEL": "ERROR"}
        environment |= {learners.VARIABLE: str(self.log), learners.HELD: str(self._go)}
        self.process = subprocess.Popen(
            [sys.executable, program.__file__, str(patience), str(folder / "store")],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> list[str]:
        """The calls so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def in_mid_training(self) -> bool:
        assert self.process.poll() is None
        return any(line.split()[1] == "2" for line in self.lines())

    def go_on(self) -> None:
        self._go.touch()

    def said(self) -> dict[str, Any]:
        """What became of the search."""
        assert self.process.stdout is not None
        return json.loads(next(line for line in self.process.stdout if line.startswith("{")))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(server: ApiProcess, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts the program and returns once all its brackets run and some of their candidates train."""
    children = []

    def begin(**options: Any) -> Child:
        if not server.lives():
            server.start()
        before = server.states().count("RUNNING")
        child = Child(server, tmp_path, **options)
        children.append(child)
        until(child.in_mid_training, "candidates train")
        until(lambda: server.states().count("RUNNING") == before + 4, "the search and three brackets run")
        return child

    yield begin
    for child in children:
        child.close()


@pytest.mark.faults
def test_api_comes_back(server: ApiProcess, start: Callable[..., Child], undisturbed: list[Any]) -> None:
    """A server that is killed and started again changes nothing: table, calls and runs are as ever."""
    child = start(patience=LONG)
    server.kill()
    child.go_on()
    time.sleep(3)  # what an operator, or a container's restart policy, takes at least
    server.start()
    found = child.said()
    assert found["table"] == undisturbed
    assert len(child.lines()) == len(set(child.lines())) == found["calls"]
    until(lambda: "RUNNING" not in server.states(), "the server knows of the end of all runs")
    assert set(server.states()) == {"COMPLETED"}


def test_api_stays_away(
    server: ApiProcess, start: Callable[..., Child], undisturbed: list[Any], tmp_path: Path
) -> None:
    """The search trains to its end and says where that is; the next start of it executes nothing."""
    child = start(patience=1.0)
    server.kill()
    child.go_on()
    found = child.said()
    assert found["error"] == "ApiUnreachable"
    assert server.url in found["text"]
    assert str(tmp_path / "store") in found["text"]
    trained = child.lines()
    assert len(trained) == len(set(trained))
    again = searched(tmp_path / "store")
    assert (program.table(again), again.cost.calls, again.rounds_run) == (undisturbed, 0, 0)


# -- patience, without a server ----------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the API is silent, each time it is asked; the last one for ever."""
    silent: list[bool] = []

    async def is_silent() -> bool:
        return silent.pop(0) if len(silent) > 1 else silent[0]

    monkeypatch.setattr(outage, "_is_silent", is_silent)
    monkeypatch.setattr(outage, "_LOOK_AGAIN", 0.001)
    return silent


async def retries_left(watch: outage.Outage, error: Exception | None = None) -> int:
    """How often Prefect's client tries again after the body of a flow run."""
    with contextlib.suppress(ApiUnreachable, KeyError):
        async with watch.watched():
            if error is not None:
                raise error
    return PREFECT_CLIENT_MAX_RETRIES.value()


def test_an_api_that_comes_back_is_waited_for(answers: list[bool]) -> None:
    """A flow run ends when the API answers again; Prefect's client keeps its patience."""
    answers += [True, True, False]
    watch = outage.Outage("store")
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        assert asyncio.run(retries_left(watch)) == 5
    assert answers == [False]
    assert not watch.over


def test_patience_is_that_of_the_search(answers: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once one flow run has waited in vain no other does, and nothing more is tried again and again."""
    answers.append(True)
    monkeypatch.setattr(outage, "PATIENCE", 0.01)
    watch = outage.Outage("store")

    async def brackets() -> list[int]:
        first = await asyncio.gather(*(asyncio.create_task(retries_left(watch)) for _ in range(3)))
        monkeypatch.setattr(outage, "PATIENCE", 1e9)
        later = [asyncio.create_task(retries_left(watch, error)) for error in (None, KeyError())]
        return first + await asyncio.gather(*later)

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        assert asyncio.run(brackets()) == [0] * 5
    assert watch.over


def test_errors_of_others(answers: list[bool]) -> None:
    """What the body raises stays what it is, except that Prefect's client could not connect."""
    answers.append(False)
    watch = outage.Outage("store")

    async def body(error: Exception) -> None:
        async with watch.watched():
            raise error

    with pytest.raises(KeyError):
        asyncio.run(body(KeyError()))
    assert not watch.over
    with pytest.raises(ApiUnreachable) as caught:
        asyncio.run(body(httpx.ConnectError("refused")))
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert watch.over
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.url, again.store, str(again)) == (caught.value.url, "store", str(caught.value))
