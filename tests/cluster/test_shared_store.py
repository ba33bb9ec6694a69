"""Searches that run at once on one store share the work, and none depends on another's life."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sklearn.model_selection import GridSearchCV

from prefect_tune.store import StepStore, gc
from prefect_tune.store.inspect import records

from .conftest import Script

sys.path.append(str(Path(__file__).parent))
from counted import X_y, lines
from sharing import question, told

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

HERE = Path(__file__).parent
PAUSE = 0.25
# Crosswise: the second has the first's order reversed, the others have parts of it.
GRIDS = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 1.0], "c": [2.0, 4.0], "d": [3.0, 4.0, 1.0]}
PROGRAM = """
    import os, sys
    sys.path.append({here!r})
    sys.argv = ["sharing", {folder!r}, {pause!r}, {searches!r}]
    from sharing_main import main
    main()
"""


@pytest.fixture
def together(
    new_script: Callable[[], Script], served_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Script]:
    """Starts the searches of that many grids at once."""
    monkeypatch.setenv("PREFECT_API_URL", served_api)

    def start(count: int) -> Script:
        searches = json.dumps(dict(list(GRIDS.items())[:count]))
        return new_script().start(
            PROGRAM.format(here=str(HERE), folder=str(tmp_path), pause=str(PAUSE), searches=searches)
        )

    return start


def until(true: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What `true` gives, once it is something."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.01)
    return found


def undisturbed(name: str) -> list:
    """The table that scikit-learn finds for one of the grids."""
    estimator, grid = question(GRIDS[name])
    return told(GridSearchCV(estimator, grid, cv=3).fit(*X_y()).cv_results_)


def check(folder: Path, names: str) -> dict[str, dict]:
    """What the searches found: each has the undisturbed table, and the store is whole."""
    found = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    for name in names:
        assert json.loads(json.dumps(undisturbed(name))) == found[name]["table"]
    store = StepStore.open(folder / "store")
    assert store.verify() == []
    return found


def repeated(folder: Path, names: str) -> int:
    """Fits beyond the first of each step on each fold: three folds, and all rows for each best candidate."""
    log = [" ".join(line.split()[:3]) for line in lines(folder / "log")]
    fits = Counter(line for line in log if line.startswith("fit"))
    prepared = Counter(line for line in log if line.startswith("prepare"))
    best = {str(min(undisturbed(name), key=lambda row: row[2])[0]) for name in names}
    return sum(fits.values()) - 3 * len(fits) - len(best) + sum(prepared.values()) - len(prepared)


def test_each_step_is_computed_once(together: Callable[..., Script], tmp_path: Path) -> None:
    """Whatever the order in which they come to it; what one computes the others have from it."""
    codes = together(4).report()
    assert set(codes.values()) == {0}
    found = check(tmp_path, "abcd")
    assert repeated(tmp_path, "abcd") == 0
    assert sum(one["waited"] for one in found.values()) > 0
    assert os.listdir(tmp_path / "store" / "leases") == []


def holder(folder: Path) -> tuple[str, int, int]:
    """(name of a search, its worker's pid, leases that the worker holds), the worker stopped.

    One that is at work: it holds a lease and a fit was made before.
    """
    pids = json.loads(until(lambda: (folder / "pids").exists() and (folder / "pids").read_text()))
    until(lambda: sum("fit" in line for line in lines(folder / "log")) >= 4)
    while True:
        for name, pid in pids.items():
            for worker in psutil.Process(pid).children(recursive=True):
                worker.suspend()
                held = len(
                    [path for path in (folder / "store" / "leases").iterdir() if owner(path) == worker.pid]
                )
                if held:
                    return name, worker.pid, held
                worker.resume()


def owner(path: Path) -> int:
    try:
        return json.loads(path.read_bytes())["pid"]
    except FileNotFoundError:
        return 0


def test_a_search_that_is_killed_holds_nobody_up(together: Callable[..., Script], tmp_path: Path) -> None:
    """The others finish with what it left; what is computed again is what it was at."""
    script = together(2)
    name, worker, held = holder(tmp_path)
    pids = json.loads((tmp_path / "pids").read_text())
    os.kill(pids[name], signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    codes = script.report()
    assert codes == {**dict.fromkeys(pids, 0), name: -signal.SIGKILL}
    others = "".join(sorted(set(pids) - {name}))
    check(tmp_path, others)
    assert repeated(tmp_path, others) <= held


def test_a_holder_that_sleeps_and_wakes_up(
    together: Callable[..., Script], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a TTL its work is another's; when it wakes up it adopts what it finds. Nobody sees an error."""
    monkeypatch.setenv("PREFECT_TUNE_LEASE_TTL", "1")
    script = together(2)
    name, worker, held = holder(tmp_path)
    (other,) = {"a", "b"} - {name}
    until(lambda: (tmp_path / f"{other}.json").exists())
    os.kill(worker, signal.SIGCONT)
    assert set(script.report().values()) == {0}
    check(tmp_path, "ab")
    assert repeated(tmp_path, "ab") <= held


def test_a_store_that_is_collected_meanwhile(
    together: Callable[..., Script], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever can go goes as soon as it is written: the search computes some of it again, and ends as ever.

    The grace is no hour here but nothing. Only data, which no search can compute, are left alone.
    """
    monkeypatch.setattr(gc, "LEAST_GRACE", 0.0)
    store = StepStore.open(tmp_path / "store")
    script = together(1)
    freed = 0

    def collected() -> bool:
        nonlocal freed
        freed += store.make_room(1, grace=0.0)
        return (tmp_path / "a.json").exists()

    until(collected)
    assert set(script.report().values()) == {0}
    check(tmp_path, "a")
    assert freed > 0
    store.make_room(1, grace=0.0)
    used = store.usage()
    assert used["packs"]["files"] == 0
    assert {record.kind for record in records(store)} <= {"data"}
    assert not gc.excess(store._site, 1, grace=0.0)
