"""Fixtures: searches driven in any order of events, and TaskSet's learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.replay import Recorder, Told

TASKSET = Path(__file__).resolve().parents[4] / "shared" / "data" / "taskset"


def key_of(trial: int) -> str:
    """A key that sorts as the index does."""
    return f"{trial:05d}"


def _conduct(
    schedule,
    curve: Callable[[int, int], float],
    moves: Sequence[int],
    *,
    trials: int,
    stride: Callable[[int], int] = lambda trial: 1,
    seed: int = 0,
) -> Recorder:
    """The log of a search whose events come in the order that `moves` picks, then round robin until its end.

    A move picks one of the running trials, which makes its next report, or a free worker, who asks for work.
    """
    log = Recorder(schedule.begin(seed, key_of))
    running: dict[int, int] = {}  # resource by trial
    started, move = 0, 0
    while True:
        choice = (moves[move] if move < len(moves) else move) % (len(running) + 1)
        move += 1
        if choice == len(running):
            job = log.tell(Told.OFFER, started if started < trials else None)
            if isinstance(job, Job):
                started += job.trial == started
                running[job.trial] = job.since
            elif not running:
                return log
            continue
        trial = list(running)[choice]
        running[trial] += stride(trial)
        answer = log.tell(Told.REPORT, trial, running[trial], curve(trial, running[trial]))
        if isinstance(answer, Decision) and answer.verdict is not Verdict.CONTINUE:
            del running[trial]


@pytest.fixture(scope="session")
def conduct() -> Callable[..., Recorder]:
    """The function above."""
    return _conduct


@cache
def _curves(task: str) -> list[list[float]]:
    path = TASKSET / f"imdb_{task}.parquet"
    if not path.is_file():
        pytest.skip("the TaskSet curves are not here (shared/data/taskset beside the checkout)")
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(path, columns=["valid_loss"])["valid_loss"]
    return [[float(loss) for loss in curve] for curve in table]


@pytest.fixture(scope="session")
def taskset() -> Callable[[str], list[list[float]]]:
    """A function from a task's name to its 1000 curves of 51 losses; skips where the data is absent."""
    return _curves
