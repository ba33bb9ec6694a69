"""A program of several searches at once on one store, each a process with a worker of its own."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

from counted import X_y
from sharing import question, told


def search(name, thresholds, folder, pause):
    """Runs one search; its table and cost go into a file."""
    from prefect_tune import grid_search
    from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

    estimator, grid = question(thresholds, str(folder / "log"), pause)
    with open_cluster(n_workers=1, api_url=os.environ["PREFECT_API_URL"]) as lease:
        (folder / f"{name}.ready").touch()
        while len(list(folder.glob("*.ready"))) < int(os.environ["SEARCHES"]):
            time.sleep(0.02)  # so that all begin at once
        found = grid_search(
            estimator, grid, *X_y(), cv=3, cluster=lease.address, store=str(folder / "store"), verbose=0
        )
    report = {"table": told(found.cv_results), "run": found.cost.run, "waited": found.cost.waited}
    (folder / f"{name}.part").write_text(json.dumps(report))
    (folder / f"{name}.part").rename(folder / f"{name}.json")
    close_default_clusters()


def main():
    """Forks a process for each search, after the seconds that importing takes; prints their numbers."""
    import prefect_tune.flows.search  # noqa: F401

    folder, pause, searches = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
    os.environ["SEARCHES"] = str(len(searches))
    pids = {}
    for name, thresholds in searches.items():
        if not (pid := os.fork()):
            try:
                search(name, thresholds, folder, pause)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        pids[name] = pid
    (folder / "pids").write_text(json.dumps(pids))
    print(json.dumps({name: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for name, pid in pids.items()}))


if __name__ == "__main__":
    main()
