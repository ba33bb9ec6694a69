"""Environments of their own for the peers, built once, and a process in one that answers lines of JSON.

Ray brings its own pins, and Syne Tune dropped MOBSTER and promotion after 0.13, which needs an older numpy
than we do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "build"
PINS = {
    "ray": ["ray[tune]==2.60.*", "optuna==5.0.*", "pandas<4", "pyarrow<27"],
    "syne-tune": ["syne-tune[gpsearchers]==0.13.0", "numpy<2", "pandas<4"],
}


class Absent(Exception):
    """The peer cannot be had here; the text says why."""


def folder(peer: str) -> Path:
    """Where its environment lives; TUNERS_PEERS names another folder than `build`."""
    return Path(os.environ.get("TUNERS_PEERS", FOLDER)) / f"{peer}-venv"


def built(peer: str) -> Path:
    """The interpreter of the peer's environment, which is built unless it is there.

    Raises:
        Absent: it cannot be installed.
    """
    place = folder(peer)
    python, stamp = place / "bin" / "python", place / "pins.json"
    if stamp.exists() and json.loads(stamp.read_text()) == PINS[peer] and python.exists():
        return python
    print(f"building {peer}'s environment in {place} (once)", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PINS[peer]]
        subprocess.run(install, check=True)
    except subprocess.CalledProcessError as error:
        raise Absent(f"{peer} cannot be installed: {error}") from None
    stamp.write_text(json.dumps(PINS[peer]))
    return python


class Peer:
    """A script in the peer's environment. Its first line says which versions it has."""

    def __init__(self, peer: str, script: str, *arguments: str) -> None:
        names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        command = [str(built(peer)), "-W", "ignore", str(Path(__file__).with_name(script)), *arguments]
        self.name = peer
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        self.versions: dict[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):  # what libraries print is not for us
                return json.loads(line[1:])
        raise RuntimeError(f"{self.name}'s process ended with status {self.process.wait()}")

    def ask(self, **question: Any) -> Any:
        """The answer to one question."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(versions: dict[str, str], answer: Any) -> None:
    """The other end: answers questions with `answer(**question)` until there are no more."""
    print("@" + json.dumps(versions), flush=True)
    for line in sys.stdin:
        print("@" + json.dumps(answer(**json.loads(line))), flush=True)
