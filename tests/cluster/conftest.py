"""Scripts run as users run them, in processes of their own, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from prefect_tune.tasks.api import api_settings, ensure_api

_MARK = "PREFECT_TUNE_TEST_MARK"


@dataclass
class Script:
    """A Python program in a folder of its own, with its own place for temporary files.

    Every process that it starts, however indirectly, inherits a mark in its environment; that is how those
    left behind are found.
    """

    folder: Path
    home: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[str] | None = None

    def start(self, code: str, *, by_stdin: bool = False) -> Script:
        """Starts the program from a file, or from its standard input."""
        path = self.folder / "script.py"
        path.write_text(textwrap.dedent(code))
        (self.folder / "tmp").mkdir()
        environment = {**os.environ, _MARK: self.mark, "TMPDIR": str(self.folder / "tmp")}
        environment.update(PREFECT_HOME=str(self.home), PREFECT_LOGGING_LEVEL="WARNING")
        with path.open() as source:
            self.process = subprocess.Popen(
                [sys.executable, "-" if by_stdin else str(path)],
                cwd=self.folder,
                env=environment,
                stdin=source if by_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                # A suite that a shell runs in the background ignores Ctrl-C, and so would its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        return self

    def until(self, word: str) -> None:
        """Returns when the program has printed the word on a line of its own."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"the script ended ({self.process.wait()}) without saying {word!r}")

    def finish(self, timeout: float = 90) -> tuple[int, str]:
        """The exit code and the rest of what the program printed."""
        assert self.process is not None
        printed, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, printed

    def report(self) -> Any:
        """The JSON that the program printed last; it must end well."""
        code, printed = self.finish()
        assert code == 0, printed
        return json.loads(printed.splitlines()[-1])

    def left(self) -> list[str]:
        """Command lines of the program's processes that are still there."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline())[:200])
            except psutil.Error:
                continue
        return found

    def leaves_nothing(self, within: float) -> bool:
        """Whether all processes and all temporary files are gone within so many seconds."""
        deadline = time.monotonic() + within
        while (rest := [*self.left(), *self.files()]) and time.monotonic() < deadline:
            time.sleep(0.1)
        if rest:
            print("left behind:", *rest, sep="\n  ")
        return not rest

    def files(self) -> list[str]:
        return [str(path) for path in (self.folder / "tmp").iterdir()]

    def kill(self) -> None:
        """Ends whatever is left of it, after a failed test."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self.mark:
                    process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
            self.process.wait()


@pytest.fixture(scope="session")
def scripts_home(tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]) -> Path:
    """One Prefect home for all scripts."""
    return prefect_home(tmp_path_factory.mktemp("scripts") / "home")


@pytest.fixture
def new_script(tmp_path: Path, scripts_home: Path) -> Iterator[Callable[[], Script]]:
    """Makes scripts, and ends what is left of them."""
    made: list[Script] = []

    def make() -> Script:
        folder = tmp_path / f"s{len(made)}"
        folder.mkdir()
        made.append(Script(folder=folder, home=scripts_home))
        return made[-1]

    yield make
    for script in made:
        script.kill()


@pytest.fixture(scope="session")
def served_api(scripts_home: Path) -> Iterator[str]:
    """The URL of an API in force in this process: the one that is there already, else a temporary server."""
    with temporary_settings({PREFECT_HOME: scripts_home} if not PREFECT_API_URL.value() else {}):
        url = ensure_api()
        with api_settings(url):
            yield url
