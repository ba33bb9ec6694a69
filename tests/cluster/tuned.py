"""An objective whose epochs can be counted, and which can take down its worker, or what forks its process."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

MOST = 9


def train(config: Any, resume: int | None):
    """Nine epochs, each noted in the log; after epoch `dies` the worker is killed once, or the `victim`."""
    for epoch in range((resume or 0) + 1, MOST + 1):
        time.sleep(0.02)
        with Path(config["log"]).open("a") as file:
            file.write(f"{config['x']!r} {epoch}\n")
        if config.get("dies") == epoch:
            with suppress(FileExistsError):
                Path(f"{config['log']}.died").touch(exist_ok=False)
                nursery = psutil.Process().parent()
                (nursery if config.get("victim") == "nursery" else nursery.parent()).kill()
                time.sleep(30)  # this process is ended, too
        yield {"epoch": epoch, "loss": config["x"] / epoch + config["y"] * (1 - 1 / epoch)}, epoch


def rows(result: Any) -> list[Any]:
    """What became of every trial, as JSON."""
    return [[t.index, t.key, t.state.value, [[r.resource, r.loss] for r in t.reports]] for t in result]
