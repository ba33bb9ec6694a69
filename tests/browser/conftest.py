"""A Prefect server with its UI, a browser, and searches to look at; each once for the session."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

# The helper modules of this folder; --import-mode=importlib leaves the path alone.
FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER))

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = (
    "no Chromium here: run tests/browser/install_chromium.sh as root (on Debian: apt-get install chromium)"
)

from ui import Api, Ui, until  # noqa: E402 - the path is set above


@pytest.fixture(scope="session")
def program() -> str:
    """The path of the system's Chromium."""
    pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(ADVICE)
    return found


# Per file, not for the session: while it is open, an event loop runs in this thread, and every later test of
# the process that starts one of its own would fail.
@pytest.fixture(scope="module")
def browser(program: str) -> Iterator[Any]:
    """The system's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Its own sandbox needs rights that a container does not give; it opens pages of our server only.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        with driver.chromium.launch(executable_path=program, args=options) as chromium:
            yield chromium


def _environment(home: Path, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}/api"
    return {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_UI_API_URL": url,
        "PREFECT_SERVER_UI_API_URL": url,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
    }


@pytest.fixture(scope="session")
def environment(
    program: str, tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[dict[str, str]]:
    """The environment of programs that use the server, which runs."""
    home = prefect_home(tmp_path_factory.mktemp("browser") / "home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = _environment(home, port)
    command = [sys.executable, "-m", "prefect", "server", "start"]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: _answers(server, environment["PREFECT_API_URL"]), "the Prefect server", 120)
        yield environment
    finally:
        _end(server)


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    assert server.poll() is None, "the Prefect server ended while starting"
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def api(environment: dict[str, str]) -> Api:
    """The server's API."""
    return Api(environment["PREFECT_API_URL"])


@pytest.fixture
def ui(browser: Any, environment: dict[str, str]) -> Iterator[Ui]:
    """An empty page of the UI."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Ui(page, environment["PREFECT_API_URL"].removesuffix("/api"))
    page.close()


@pytest.fixture(scope="session")
def searches(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The flow runs of the searches by kind, all ended."""
    folder = tmp_path_factory.mktemp("searches")
    command = [sys.executable, str(FOLDER / "searches.py"), str(folder / "store")]
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=250, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def served(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, api: Api) -> Iterator[str]:
    """The id of a deployment of grid_search whose runs are carried out."""
    folder = tmp_path_factory.mktemp("served")
    with (folder / "log").open("w") as log:
        program = [sys.executable, str(FOLDER / "serving.py")]
        runner = subprocess.Popen(program, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)

    def deployed() -> list[Any]:
        assert runner.poll() is None, (folder / "log").read_text()[-4000:]
        return api.post("/deployments/filter", deployments={"name": {"any_": ["served"]}})

    try:
        yield until(deployed, "the deployment")[0]["id"]
    finally:
        _end(runner)
