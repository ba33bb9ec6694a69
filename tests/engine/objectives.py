"""Objectives of tests: formulas, so that every table can be worked out without them, and misbehaviours."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

MOST = 9


def loss(config: Any, epoch: int) -> float:
    """Falls with the epoch; `y` shows late."""
    return config["x"] / epoch + config["y"] * (1 - 1 / epoch)


def plain(config: Any) -> float:
    """A number, at once."""
    return (config["x"] - 0.3) ** 2 + config["y"]


def epochs(config: Any, resume: int | None):
    """Reports each epoch and goes on from its state."""
    for epoch in range((resume or 0) + 1, MOST + 1):
        note(config, epoch)
        yield {"epoch": epoch, "loss": loss(config, epoch), "half": epoch / 2}, epoch


def forgetful(config: Any):
    """Reports each epoch and has no state."""
    for epoch in range(1, MOST + 1):
        note(config, epoch)
        yield {"epoch": epoch, "loss": loss(config, epoch)}


def calling(config: Any, report: Any, resume: dict[str, int] | None = None) -> None:
    """Calls `report` each epoch, with a state that is made only when it is wanted."""
    for epoch in range((resume or {"epoch": 0})["epoch"] + 1, MOST + 1):
        note(config, epoch)
        report({"loss": loss(config, epoch)}, lambda epoch=epoch: {"epoch": epoch})


def pictured(config: Any):
    """Brings a picture at every second epoch and a note at the first."""
    for epoch in range(1, MOST + 1):
        things = {"picture": [config["x"], epoch]} if epoch % 2 == 0 else {}
        if epoch == 1:
            things["note"] = {"y": config["y"]}
        yield {"epoch": epoch, "loss": loss(config, epoch), "artefacts": things}


def misbehaving(config: Any) -> Any:
    """Does what `kind` says."""
    kind = config["kind"]
    if kind == "raises":
        raise ValueError("a bad learning rate")
    if kind == "hangs":
        time.sleep(600)
    if kind == "eats":
        held = []
        while True:
            held.append(os.urandom(1) * (32 << 20))
    if kind == "crashes":
        os.kill(os.getpid(), 11)
    if kind == "leaves":
        os._exit(3)
    if kind == "exits":
        sys.exit("enough")
    return {"text": "much", "nothing": None}.get(kind, 1.0)


def noisy(config: Any) -> float:
    """Another number each time it is called."""
    note(config, 1)
    return float(os.urandom(1)[0])


def note(config: Any, epoch: int) -> None:
    """Adds a line to the file named in the environment or in the configuration, if any."""
    if path := config.get("log"):
        with Path(path).open("a") as file:
            file.write(f"{config['x']:.6f} {epoch}\n")
