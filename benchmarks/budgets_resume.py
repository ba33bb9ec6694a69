"""The first half of case 11: how soon a killed search goes on.

The search is driven by processes of their own, on an API and workers that stay. Its learner writes down when
each fit begins.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from budgets_learner import Paced
from budgets_rows import Row

CANDIDATES = 1000
PAUSE = 0.01  # seconds of each fit
WORKERS = 2


def _problem(candidates: int) -> tuple[dict[str, list[float]], Any, Any, Any]:
    """Space, data and folds."""
    import numpy as np
    from sklearn.model_selection import ShuffleSplit

    X = np.random.default_rng(0).normal(size=(50, 3))
    space = {"number": [float(number) for number in np.linspace(-1, 1, candidates)]}
    return space, X, X[:, 0], ShuffleSplit(1, random_state=0)


def drive(store: str, cluster: str, log: str, candidates: int) -> dict[str, Any]:
    """The search, in a driver process: when it was called, its scores, and how many steps it ran."""
    from prefect_tune import grid_search

    space, X, y, cv = _problem(candidates)
    called = time.time()
    result = grid_search(
        Paced(log=log, pause=PAUSE), space, X, y, cv=cv, refit=False, store=store, cluster=cluster,
        name="budgets", verbose=0,
    )  # fmt: skip
    scores = [float(score) for score in result.cv_results["mean_test_score"]]
    return {"called": called, "scores": scores, "ran": result.cost.run}


class Driver:
    """A driver process of the search.

    Attributes:
        started: when it was.
    """

    def __init__(self, store: Path, cluster: str, log: Path, candidates: int = CANDIDATES) -> None:
        self.log, self.before = log, len(_lines(log))
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (read when it fails)
        here = Path(__file__).resolve()
        paths = [str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        asked = json.dumps([str(store), cluster, str(log), candidates])
        self.started = time.time()
        self.process = subprocess.Popen(
            [sys.executable, str(here), asked], stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip

    def killed_at(self, fits: int) -> None:
        """Ends it, and nothing else, once so many fits have begun."""
        while len(_lines(self.log)) < fits:
            if self.process.poll() is not None:
                raise RuntimeError(f"the search ended before {fits} fits:\n{self._said()}")
            time.sleep(0.005)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def finish(self) -> dict[str, Any]:
        """What `drive` returns, with the moments: from its start, and from the call, to its first fit."""
        said, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"the search ended with status {self.process.returncode}:\n{self._said()}")
        found = json.loads(said.splitlines()[-1])
        first = _lines(self.log)[self.before][0]
        return {**found, "from_start": first - self.started, "from_call": first - found["called"]}

    def _said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-3000:]


def _lines(log: Path) -> list[tuple[float, float]]:
    """(when, number) of each fit so far."""
    if not log.exists():
        return []
    pairs = (line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return [(float(when), float(number)) for when, number in pairs]


@contextmanager
def places() -> Iterator[str]:
    """Address of a local cluster that stays while drivers come and go; they get the API from the variable."""
    from prefect_tune.tasks.api import close_api, ensure_api
    from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

    url, configured = ensure_api(), os.environ.get("PREFECT_API_URL")
    os.environ["PREFECT_API_URL"] = url
    try:
        with open_cluster(n_workers=WORKERS, api_url=url) as lease:
            yield lease.address
    finally:
        close_default_clusters()
        close_api()
        if configured is None:
            del os.environ["PREFECT_API_URL"]


def _idle(address: str) -> None:
    """Returns when no worker is at work for the driver that died."""
    import distributed

    with distributed.Client(address) as client:
        while any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()):
            time.sleep(0.02)


def _round(place: Path, cluster: str, candidates: int) -> dict[str, Any]:
    """A search that is killed half-way, and again: what the second says, and what both have fitted."""
    store, log = place / "store", place / "log"
    Driver(store, cluster, log, candidates).killed_at(candidates // 2)
    _idle(cluster)
    before = len(_lines(log))
    assert before < candidates, "it was killed too late"
    found = Driver(store, cluster, log, candidates).finish()
    return {**found, "before": before, "numbers": [number for _, number in _lines(log)]}


def resumed(quick: bool) -> Row:
    """The time to the first new fit of a search that was killed and is run again."""
    from sklearn.model_selection import GridSearchCV

    candidates = CANDIDATES // 5 if quick else CANDIDATES
    space, X, y, cv = _problem(candidates)
    expected = GridSearchCV(Paced(), space, cv=cv, refit=False).fit(X, y).cv_results_["mean_test_score"]
    whole, found = [], []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, places() as at:
        place = Path(folder)
        Driver(place / "warm", at, place / "warm.log", 8).finish()  # imports, on the workers too
        for number in range(1 if quick else 2):
            mine = place / str(number)
            mine.mkdir()
            whole.append(Driver(mine / "whole", at, mine / "whole.log", candidates).finish())
            found.append(_round(mine, at, candidates))
    for one in (*whole, *found):
        assert one.pop("scores") == list(expected)
    fitted = [one.pop("numbers") for one in found]
    assert all(sorted(set(numbers)) == sorted(space["number"]) for numbers in fitted)
    return _row(candidates, whole, found, max(map(len, fitted)) - candidates)


def _row(candidates: int, whole: list[dict[str, Any]], found: list[dict[str, Any]], again: int) -> Row:
    first = [one["from_call"] for one in found]
    middle, peer = statistics.median(first), statistics.median(one["from_call"] for one in whole)
    imports = statistics.median(one["from_start"] for one in found)
    return Row(
        quantity=f"first new fit of {candidates} candidates, killed after {found[0]['before']} fits",
        measured=f"{middle:.2f} s (best {min(first):.2f}; {imports:.1f} with imports; {again} fits twice)",
        reference=f"{peer:.2f} s, the first fit with an empty store",
        ratio=middle / peer,
        budget="≤ 2 s",
        met=min(first) <= 2,
        values={"found": found, "whole": whole, "again": again},
    )


if __name__ == "__main__":
    print(json.dumps(drive(*json.loads(sys.argv[1]))))
