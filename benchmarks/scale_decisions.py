"""Parts (b) and (c): what deciding costs, and writing the decisions down; no workers, no clock."""

from __future__ import annotations

import random
import tempfile
import time
from typing import Any

R = 27
TRIALS = 5_000  # of the search that is spread over more and more workers
WAITING = 64  # jobs under way in a search without workers


def workers(count: int) -> dict[str, Any]:
    """The same search of asynchronous halving on so many simulated workers."""
    from prefect_tune.schedules.asynchronous.asha import ASHA
    from prefect_tune.schedules.asynchronous.simulate import World, simulate

    luck = random.Random(0)
    losses = [[0.0, *(luck.random() / at for at in range(1, R + 1))] for _ in range(TRIALS)]
    start = time.process_time()
    found = simulate(
        ASHA(R, type="promotion"), losses, trials=TRIALS, world=World(workers=count, spread=0.3, seed=1)
    )
    seconds = time.process_time() - start
    return {
        "cpu": seconds,
        "reports": len(found.steps),
        "reports_a_second": round(len(found.steps) / seconds),
    }


def rungs(records: int) -> dict[str, Any]:
    """One rung with so many records: each is entered, judged, waits, and may be promoted."""
    from prefect_tune.schedules.asynchronous.asha import ASHA

    luck, machine = random.Random(0), ASHA(R, type="promotion").begin(0, lambda trial: f"{trial:08d}")
    start, promoted = time.process_time(), 0
    for trial in range(records):
        while (job := machine.offer(trial)) is not None and job.trial != trial:
            promoted += 1
            machine.report(job.trial, job.until or 0, luck.random())
        machine.report(trial, 1, luck.random())
    return {"cpu": time.process_time() - start, "promoted": promoted}


def _settings(trials: int) -> Any:
    from prefect_tune.samplers.draw import Random
    from prefect_tune.schedules.asynchronous.asha import ASHA
    from prefect_tune.space import SearchSpace, uniform
    from prefect_tune.tuning.budget import Budget
    from prefect_tune.tuning.keep import Keep
    from prefect_tune.tuning.settings import TuneSettings

    return TuneSettings(
        name="scale",
        objective=b"o" * 32,
        space=SearchSpace({"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}),
        sampler=Random(),
        schedule=ASHA(R, type="promotion"),
        budget=Budget(n_trials=trials),
        max_concurrent=WAITING,
        keep=Keep(num_to_keep=1),
        seed=3,
    )


def _search(trials: int) -> tuple[Any, list[Any], int]:
    """(tuner, its events, decisions) of a whole search whose jobs end at once, in a drawn order."""
    from prefect_tune.tuning.jobs import JobOutcome, Reported
    from prefect_tune.tuning.tuner import Tuner

    tuner, luck, out, events, decisions = Tuner(_settings(trials)), random.Random(0), [], [], 0
    while True:
        while True:
            tuner.draw()
            job = tuner.next()
            events += tuner.log
            tuner.log.clear()
            if job is None:
                break
            out.append(job)
            decisions += 1
        if not out:
            return tuner, events, decisions
        job = out.pop(luck.randrange(len(out)))
        loss = job.config["x"] / job.until + job.config["y"]
        reports = [Reported(job.until, {"loss": loss}, 0.0)]
        tuner.take(JobOutcome(job=job.number, trial=job.trial, reports=reports, states={job.until: 8}))
        events += tuner.log
        tuner.log.clear()
        decisions += 1


def tuner(trials: int) -> dict[str, Any]:
    """A search of so many trials, its suggestions included."""
    _settings(1)  # what is imported is not measured
    start = time.process_time()
    _, events, decisions = _search(trials)
    seconds = time.process_time() - start
    return {"cpu": seconds, "events": len(events), "decisions_a_second": round(decisions / seconds)}


def journal_lines(batches: int) -> dict[str, Any]:
    """Lines a second: one by one, each on the disk before the next, as a search does; and by hundreds."""
    from prefect_tune.store.journal import Journal
    from prefect_tune.tuning.events import Codec

    settings = _settings(1)
    _, events, _ = _search(1_000)
    lines = [Codec(settings.space).to_json(event) for event in events][: max(batches, 100)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        journal = Journal.open(folder, settings.key())
        start = time.perf_counter()
        for line in lines[:batches]:
            journal.append([line])
        single = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(batches // 10):
            journal.append(lines[:100])
        many = time.perf_counter() - start
        journal.close()
    return {
        "one_by_one_a_second": round(batches / single),
        "by_hundreds_a_second": round(100 * (batches // 10) / many),
    }


def replay(events: int) -> dict[str, Any]:
    """A journal of so many events read, verified and told to a fresh tuner."""
    from prefect_tune.store.journal import encode_lines, verified_lines
    from prefect_tune.tuning.events import Codec
    from prefect_tune.tuning.tuner import Tuner

    trials = max(1, round(events / 3))  # a trial has some three events
    settings = _settings(trials)
    _, told, _ = _search(trials)
    codec = Codec(settings.space)
    data, _ = encode_lines(map(codec.to_json, told), "")
    start, wall = time.process_time(), time.perf_counter()
    lines, _, _ = verified_lines(data)
    fresh = Tuner(settings)
    fresh.replay(codec.from_json(line) for line in lines)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    return {
        "cpu": seconds,
        "seconds": wall,
        "events": len(told),
        "bytes_a_line": round(len(data) / len(told)),
    }
