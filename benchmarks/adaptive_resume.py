"""Part (c): the driver process is killed when half of the training is done; then the same search runs again.

Work is counted by the learner itself: each training call adds a byte to a file when it starts, so calls that
were in flight when the processes died are counted, too.
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
from pathlib import Path
from typing import Any

from adaptive_data import CountedSGD, classification

WORKERS = 2
PAUSE = 0.01  # seconds; makes a training call dear enough to be worth saving
MAX_ITER = 81


def child(store: str) -> dict[str, Any]:
    """The search itself, in a driver process."""
    from adaptive_peer import CHUNK, search_space

    from prefect_tune import hyperband_search

    X, y = classification()
    result = hyperband_search(
        CountedSGD(random_state=0), search_space(), X, y, max_iter=MAX_ITER, aggressiveness=3,
        chunk_size=CHUNK, random_state=0, fit_params={"classes": [0, 1]}, store=store, n_workers=WORKERS,
        name="resume", verbose=0,
    )  # fmt: skip
    return {
        "calls": int(result.cost.calls),
        "rounds_found": int(result.rounds_found),
        "score": float(result.best_score),
        "best": repr(sorted(result.best_params.items())),
    }


class Driver:
    """A driver process on a folder of its own: the store, Prefect's home, and the count of calls."""

    def __init__(self, place: Path) -> None:
        self.log = place / "calls"
        self.errors = (
            place / "errors"
        )  # a killed driver's processes complain; of interest if the search fails
        here = Path(__file__).resolve()
        paths = [str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "ADAPTIVE_LOG": str(self.log),
            "ADAPTIVE_PAUSE": str(PAUSE),
            "PREFECT_HOME": str(place / "home"),
            "PYTHONPATH": os.pathsep.join(paths),  # workers import the learner from here
        }
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(here), json.dumps([str(place / "store")])],
                stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip

    def calls(self) -> int:
        """Training calls started so far, by this driver and those before it."""
        return self.log.stat().st_size if self.log.exists() else 0

    def finish(self) -> dict[str, Any]:
        said, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(
                f"the search ended with status {self.process.returncode}:\n{self.errors.read_text()[-3000:]}"
            )
        return json.loads(said.splitlines()[-1])

    def kill_at(self, calls: int) -> int:
        """Ends the driver, and nothing else, by SIGKILL once that many calls have started.

        Returns:
            Processes that were left and had to be ended here.
        """
        import psutil

        while self.calls() < calls:
            if self.process.poll() is not None:
                raise RuntimeError(f"the search ended before {calls} calls, status {self.process.returncode}")
            time.sleep(0.002)
        family = psutil.Process(self.process.pid).children(recursive=True)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        _, left = psutil.wait_procs(family, timeout=30)
        for process in left:
            process.kill()
        return len(left)


def in_place(run: Any) -> Any:
    """What `run` gives for a folder that is removed afterwards."""
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        return run(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def undisturbed(place: Path) -> dict[str, Any]:
    driver = Driver(place)
    found = driver.finish()
    return {**found, "work": driver.calls()}


def killed(place: Path, half: int) -> dict[str, Any]:
    first = Driver(place)
    left = first.kill_at(half)
    before = first.calls()
    second = Driver(place)
    found = second.finish()
    return {**found, "before": before, "work": second.calls(), "left_behind": left}


def case_c(rounds: int = 3) -> dict[str, Any]:
    """Training calls of both runs over those of an undisturbed one, round by round."""
    whole = in_place(undisturbed)
    each = []
    for number in range(rounds):
        found = in_place(lambda place: killed(place, whole["work"] // 2))
        found["ratio"] = found["work"] / whole["work"]
        found["same_outcome"] = (found["score"], found["best"]) == (whole["score"], whole["best"])
        each.append(found)
        print(
            f"  round {number + 1}: {found['before']} calls, kill, {found['work'] - found['before']} calls; "
            f"undisturbed {whole['work']}", file=sys.stderr, flush=True,
        )  # fmt: skip
    return {
        "title": f"(c) killed at half and run again, max_iter {MAX_ITER}",
        "undisturbed": whole,
        "rounds": each,
        "ratio": statistics.median(found["ratio"] for found in each),
        "worst": max(found["ratio"] for found in each),
    }


def line_c(found: dict[str, Any]) -> str:
    """The outcome in words."""
    same = all(each["same_outcome"] for each in found["rounds"])
    left = sum(each["left_behind"] for each in found["rounds"])
    return (
        f"work of both runs {found['ratio']:.4f} of an undisturbed one "
        f"(worst {found['worst']:.4f}, bound 1.05); "
        f"{'same' if same else 'ANOTHER'} winner and score; {left} processes left behind; "
        f"rounds found: {[each['rounds_found'] for each in found['rounds']]}"
    )


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
