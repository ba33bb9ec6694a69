"""Part (d): the driver process is killed at random events, started again, killed again, until it is done.

The objective itself counts: it adds a line to a file for each epoch that it starts, so epochs that were in
flight when the processes died count too. With one worker and random search the table must be that of an
undisturbed search; with two, results arrive in another order every time, and only the work is compared.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRIALS = 30
EPOCHS = 27
PAUSE = 0.02  # seconds; makes an epoch dear enough to be worth saving
BETWEEN = (10, 60)  # epochs that a driver lives, drawn anew for each


def train(config: dict[str, float], resume: int | None) -> Iterator[tuple[dict[str, float], int]]:
    """A curve that depends on the setting; goes on from its state."""
    for epoch in range((resume or 0) + 1, EPOCHS + 1):
        line = f"{config['x']!r} {epoch}\n".encode()
        file = os.open(os.environ["TUNERS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)  # one write of a line: two workers never mix theirs
        os.close(file)
        time.sleep(PAUSE)
        yield {"epoch": epoch, "loss": config["x"] + (1 - config["x"]) / epoch}, epoch


def child(store: str, workers: int, seed: int) -> list[Any]:
    """The search, in a driver process; its table."""
    from tuners_kill import train as objective  # by its own name: workers import it, too

    from prefect_tune import tune
    from prefect_tune.space import uniform

    result = tune(
        objective, {"x": uniform(0, 1)}, n_trials=TRIALS, sampler="random", schedule="asha",
        max_resource=EPOCHS, store=store, n_workers=workers, seed=seed, name="kill", verbose=0,
    )  # fmt: skip
    return [
        [
            trial.index,
            trial.state.value,
            trial.resource,
            dict(trial.config),
            [[report.resource, report.loss] for report in trial.accepted],
        ]
        for trial in result
    ]


class Driver:
    """A driver process on a folder of its own: the store, Prefect's home, the count of epochs."""

    def __init__(self, place: Path, workers: int, seed: int) -> None:
        self.log, self.errors, here = place / "epochs", place / "errors", Path(__file__).resolve()
        paths = [str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "TUNERS_LOG": str(self.log),
            "PREFECT_HOME": str(place / "home"),
            "PYTHONPATH": os.pathsep.join(paths),
            # A start is not what is measured: on a busy machine it may take its time.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        }
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(here), json.dumps([str(place / "store"), workers, seed])],
                stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip

    def epochs(self) -> list[str]:
        """Epochs started so far, by this driver and those before it."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def finish(self) -> list[Any]:
        """The table."""
        said, _ = self.process.communicate()
        if self.process.returncode:
            text = self.errors.read_text()[-3000:]
            raise RuntimeError(f"the search ended with status {self.process.returncode}:\n{text}")
        return json.loads(said.splitlines()[-1])

    def killed_after(self, epochs: int, delay: float) -> bool:
        """Ends the driver and nothing else, by SIGKILL, so many epochs on; False if it was done before."""
        import psutil

        goal = len(self.epochs()) + epochs
        while len(self.epochs()) < goal:
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        time.sleep(delay)
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return False
        if self.process.poll() is not None:
            return False
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        _, left = psutil.wait_procs(family, timeout=30)
        for process in left:
            process.kill()
        return True


def disturbed(workers: int, seed: int, kills: bool) -> dict[str, Any]:
    """One search from its start to its table, killed or not."""
    import numpy as np

    place, rng, count = Path(tempfile.mkdtemp(prefix="bench-")), np.random.default_rng(seed), 0
    try:
        driver = Driver(place, workers, seed)
        while kills and driver.killed_after(int(rng.integers(*BETWEEN)), float(rng.uniform(0, 2 * PAUSE))):
            count += 1
            driver = Driver(place, workers, seed)
        table, epochs = driver.finish(), driver.epochs()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {"table": table, "kills": count} | work(table, epochs)


def work(table: list[Any], epochs: list[str]) -> dict[str, Any]:
    """Epochs started, how many of them the table needed, and the most that one epoch was started.

    >>> work([[0, "stopped", 2, {"x": 0.5}, []]], ["0.5 1", "0.5 2", "0.5 2"])
    {'started': 3, 'needed': 2, 'ratio': 1.5, 'most': 2}
    """
    needed = sum(row[2] for row in table)
    most = max(Counter(epochs).values())
    return {"started": len(epochs), "needed": needed, "ratio": len(epochs) / needed, "most": most}


def case_d(rounds: int = 3) -> dict[str, Any]:
    """Round by round: an undisturbed search and a killed one on one worker, a killed one on two."""
    each = []
    for seed in range(rounds):
        whole = disturbed(1, seed, kills=False)
        alone, pair = disturbed(1, seed, kills=True), disturbed(2, seed, kills=True)
        row = {"same_table": alone.pop("table") == whole.pop("table"), "undisturbed": whole, "one": alone}
        pair.pop("table")
        each.append(row | {"two": pair})
        print(f"  round {seed + 1}: {each[-1]}", file=sys.stderr, flush=True)
    return {
        "title": f"(d) killed at random events, {TRIALS} trials of up to {EPOCHS} epochs",
        "rounds": each,
        "same_table": all(row["same_table"] for row in each),
        "ratio": {
            name: statistics.median(row[name]["ratio"] for row in each)
            for name in ("undisturbed", "one", "two")
        },
        "worst": max(row[name]["ratio"] for row in each for name in ("one", "two")),
    }


def line_d(found: dict[str, Any]) -> str:
    """The outcome in words."""
    kills = [row[name]["kills"] for row in found["rounds"] for name in ("one", "two")]
    most = max(row[name]["most"] for row in found["rounds"] for name in ("one", "two"))
    return (
        f"{'the same' if found['same_table'] else 'ANOTHER'} table on one worker as undisturbed; "
        f"epochs started over those needed: {found['ratio']['one']:.3f} on one worker, "
        f"{found['ratio']['two']:.3f} on two (worst {found['worst']:.3f}); no epoch more than {most} times; "
        f"kills per search: {kills}"
    )


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
