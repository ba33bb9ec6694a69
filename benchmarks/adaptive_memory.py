"""Part (d): peak memory of every process of a Hyperband search over Parquet files, given by their folder.

The search runs in a driver process of its own. A thread looks at that process and all its descendants every
50 ms: the kernel's own high-water mark where there is one (VmHWM, so that nothing falls between two looks),
else the resident size.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from adaptive_data import LABEL, write_parquet

WORKERS = 2
INTERVAL = 0.05


def high_water(pid: int) -> tuple[int, int]:
    """(most resident bytes ever, private bytes now) of a process.

    Raises:
        OSError: it is gone.
    """
    status = Path(f"/proc/{pid}/status")
    if not Path("/proc/self/status").exists():
        import psutil

        resident = psutil.Process(pid).memory_info().rss
        return resident, resident
    found = {}
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmHWM", "RssAnon"):
            found[name] = int(value.split()[0]) * 1024
    if "VmHWM" not in found:  # a zombie has no memory
        raise ProcessLookupError(pid)
    return found["VmHWM"], found.get("RssAnon", 0)


def role(name: str, parent: bool) -> str:
    """What a process is to the search, by the name that it gives itself (`tasks/child.py`).

    >>> role("tune-worker", False), role("tune-server", False), role("python", True)
    ('worker', 'API', 'driver')
    """
    own = name.removeprefix("tune-")
    return "driver" if parent else {"server": "API"}.get(own, own)


class Watch(threading.Thread):
    """Follows a process and its descendants until `stop`; `peaks` by process id."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peaks: dict[int, dict[str, Any]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        import psutil

        root = psutil.Process(self.pid)
        while not self._over.is_set():
            try:
                family = [root, *root.children(recursive=True)]
            except psutil.Error:
                return
            for process in family:
                self._look(process)
            self._over.wait(INTERVAL)

    def _look(self, process: Any) -> None:
        import psutil

        try:
            peak, private = high_water(process.pid)
            entry = self.peaks.get(process.pid)
            if entry is None or entry["looks"] < 20:  # a fresh process still has its parent's name
                name = role(process.name(), process.pid == self.pid)
                entry = self.peaks.setdefault(process.pid, {"peak": 0, "private": 0, "looks": 0})
                entry["role"] = name
        except (OSError, psutil.Error):
            return
        entry["looks"] += 1
        entry["peak"] = max(entry["peak"], peak)
        entry["private"] = max(entry["private"], private)

    def stop(self) -> list[dict[str, Any]]:
        """What was seen, largest first."""
        self._over.set()
        self.join()
        return sorted(self.peaks.values(), key=lambda entry: -entry["peak"])


def child(folder: str, store: str, max_iter: int) -> dict[str, Any]:
    """The search itself, in the driver process."""
    from sklearn.linear_model import SGDClassifier

    from prefect_tune import hyperband_search

    space = {"alpha": [10.0**-k for k in range(1, 7)], "penalty": ["l2", "l1", "elasticnet"],
             "average": [True, False], "eta0": [0.001, 0.01, 0.1, 1.0]}  # fmt: skip
    start = time.perf_counter()
    result = hyperband_search(
        SGDClassifier(random_state=0), space, folder, LABEL, max_iter=max_iter, aggressiveness=3,
        random_state=0, fit_params={"classes": [0, 1]}, store=store, n_workers=WORKERS, name="memory",
        verbose=0,
    )  # fmt: skip
    return {
        "seconds": time.perf_counter() - start,
        "calls": int(result.cost.calls),
        "score": float(result.best_score),
    }


def case_d(size: int = 4_000_000_000, max_iter: int = 27, files: int = 32) -> dict[str, Any]:
    """Peak bytes of every process, over a data set of `size` bytes in memory."""
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        start = time.perf_counter()
        rows = write_parquet(place / "data", size, files)
        written = time.perf_counter() - start
        on_disk = sum(path.stat().st_size for path in (place / "data").iterdir())
        print(
            f"  {rows:,} rows, {on_disk / 1e9:.2f} GB on disk, {written:.0f} s", file=sys.stderr, flush=True
        )
        asked = json.dumps([str(place / "data"), str(place / "store"), max_iter])
        driver = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), asked], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PREFECT_HOME": str(place / "home")},
        )  # fmt: skip
        watch = Watch(driver.pid)
        watch.start()
        said, _ = driver.communicate()
        seen = watch.stop()
        if driver.returncode:
            raise RuntimeError(f"the search over Parquet files ended with status {driver.returncode}")
        found = json.loads(said.splitlines()[-1])
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {
        "title": f"(d) memory, {size / 1e9:g} GB in {files} Parquet files, max_iter {max_iter}",
        "dataset": size,
        "rows": rows,
        "write_seconds": written,
        "processes": [{name: entry[name] for name in ("role", "peak", "private")} for entry in seen],
        "share": seen[0]["peak"] / size,
        **found,
    }


def line_d(found: dict[str, Any]) -> str:
    """The outcome in words."""
    each = ", ".join(f"{entry['role']} {entry['peak'] / 1e6:.0f} MB" for entry in found["processes"])
    return (
        f"peak of any process {found['share']:.3f} of the data set (bound 0.25); {each}; "
        f"{found['calls']} calls in {found['seconds']:.0f} s"
    )


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
