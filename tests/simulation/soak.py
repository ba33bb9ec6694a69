"""Many simulated searches with faults: make soak [SEEDS=10000] [ARGS="--only tune --first 0"].

A seed that fails is printed with the command that replays it and the story up to there:

    make soak ARGS="--only tune --replay 1234"
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

KINDS = {"tune": "sim_tune", "race": "sim_race", "grid": "sim_grid"}
CHUNK = 25
Found = tuple[Counter[str], list[tuple[str, int, str]]]


def command(kind: str, seed: int) -> str:
    """What replays a seed."""
    return f'make soak ARGS="--only {kind} --replay {seed}"'


def seeds_of(kind: str, first: int, count: int) -> Found:
    """What so many seeds have met, and those whose oracles did not hold: (kind, seed, why)."""
    module, met, failed = importlib.import_module(KINDS[kind]), Counter[str](), []
    for seed in range(first, first + count):
        try:
            met.update(module.judge(seed))
        except Exception as error:
            failed.append((kind, seed, f"{type(error).__name__}: {error}"))
    met["seeds"] += count
    return met, failed


def _quiet() -> None:
    """Silences this process: the drivers say what they meet, thousands of times."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def replay(kind: str, seed: int) -> None:
    """Tells the story of one seed; its error comes through."""
    module = importlib.import_module(KINDS[kind])
    scenario = module.scenario_of(seed)
    print(scenario)
    story = module.Story(scenario)
    try:
        story.run()
        print(dict(module.judge(seed)), "all oracles hold")
    finally:
        print("\n".join(story.world.trail))


def _chunks(kinds: list[str], first: int, seeds: int) -> Iterator[tuple[str, int, int]]:
    for begin in range(first, first + seeds, CHUNK):
        for kind in kinds:
            yield kind, begin, min(CHUNK, first + seeds - begin)


def soak(kinds: list[str], first: int, seeds: int, processes: int) -> int:
    """How many seeds have failed, of so many for each kind."""
    met, failed, start = Counter[str](), [], time.monotonic()
    chunks, total = _chunks(kinds, first, seeds), seeds * len(kinds)
    with ProcessPoolExecutor(processes, initializer=_quiet) as pool:
        waiting = [pool.submit(seeds_of, *chunk) for chunk in islice(chunks, 4 * processes)]
        while waiting:
            counted, new = waiting.pop(0).result()
            waiting += [pool.submit(seeds_of, *chunk) for chunk in islice(chunks, 1)]
            met.update(counted)
            failed += new
            for kind, seed, why in new:
                print(f"\nseed {seed} of {kind}: {why}\n    {command(kind, seed)}", flush=True)
            _progress(met["seeds"], total, len(failed), time.monotonic() - start)
    faults = ", ".join(f"{count} {name}" for name, count in sorted(met.items()) if name != "seeds")
    print(f"\n{met['seeds']} seeds, {len(failed)} failed; met {faults}")
    return len(failed)


def _progress(done: int, total: int, failed: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    line = f"{done:,} of {total:,} seeds, {failed} failed, {done / seconds:.0f} a second, {left:.0f} s to go"
    end = "" if sys.stdout.isatty() else "\n"
    if not end or done == total or done % (20 * CHUNK) == 0:
        print(f"\r{line:78s}" if not end else line, end=end, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10_000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed to begin with")
    parser.add_argument("--only", choices=list(KINDS), help="one kind of search")
    parser.add_argument("--replay", type=int, help="tell the story of this seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    _quiet()
    if asked.replay is not None:
        replay(asked.only or "tune", asked.replay)
        return 0
    kinds = [asked.only] if asked.only else list(KINDS)
    return 1 if soak(kinds, asked.first, asked.seeds, asked.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
