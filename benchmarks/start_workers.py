"""What the workers of a local cluster cost to start: forked by a nursery, and each from nothing.

    python benchmarks/start_workers.py [--workers 2 8] [--rounds 1] [--json]

Both ways take turns, each in a program of its own. Memory counts what processes share once. At the end one
worker is killed; it is back when the scheduler can ask it for its process id.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

NAMES = {True: "by a nursery", False: "each from nothing"}


def measured(workers: int, *, forks: bool) -> dict[str, Any]:
    """What so many workers cost."""
    import distributed
    import psutil

    from prefect_tune.tasks import nursery
    from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

    nursery.FORKS = nursery.FORKS and forks
    begun = time.perf_counter()
    with open_cluster(n_workers=workers) as lease:
        ready = time.perf_counter() - begun
        children = psutil.Process().children(recursive=True)
        processor = sum(sum(child.cpu_times()[:2]) for child in children)
        memory = sum(child.memory_full_info().pss for child in children)
        with distributed.Client(lease.address) as client:
            killed = next(iter(client.run(os.getpid).values()))
            begun = time.perf_counter()
            os.kill(killed, signal.SIGKILL)
            here = {killed: killed}
            while killed in here.values() or len(here) < workers:
                time.sleep(0.02)
                here = client.run(os.getpid, on_error="ignore")
            back = time.perf_counter() - begun
    close_default_clusters()
    return {
        "workers": workers,
        "way": NAMES[forks],
        "ready_seconds": ready,
        "processor_seconds": processor,
        "memory_mib": memory / 2**20,
        "back_seconds": back,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=["nursery", "nothing"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.workers[0], forks=asked.one == "nursery")))
        return
    for workers in asked.workers * asked.rounds:
        for way in ("nothing", "nursery"):
            command = [sys.executable, __file__, "--one", way, "--workers", str(workers)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            if asked.json:
                print(json.dumps(found), flush=True)
                continue
            print(
                f"{workers:3d} workers, {found['way']:18s} ready after {found['ready_seconds']:5.1f} s, "
                f"{found['processor_seconds']:5.1f} s of processor, {found['memory_mib']:5.0f} MiB, "
                f"a killed one is back after {found['back_seconds']:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
