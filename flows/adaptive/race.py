"""One bracket of an adaptive search: rounds that fan out, and the decisions between them.

Rule 1: what is known is never submitted: a round looks its scores up first, then the checkpoints to go on
from.
Rule 2: a decision is a function of the complete round, and in the journal before anything follows from it. A
decision that the journal has otherwise stops the search: some score cannot be repeated.
Rule 3: a candidate that fails is out; its bracket goes on.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.adaptive.board import Board, BoardDispatch
from prefect_tune.history import RaceHistory, Scored
from prefect_tune.identity.encode import encode
from prefect_tune.identity.keys import step_key
from prefect_tune.races import Race
from prefect_tune.report.text import counted
from prefect_tune.rounds import RoundBatch, TrainUnit, plan_round
from prefect_tune.store import Record
from prefect_tune.store.failpoints import failpoint
from prefect_tune.tasks.evaluation import SearchFile
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.runner import TuneTaskRunner

Keys = Mapping[TrainUnit, tuple[str, ...]]
"""Keys of the scores of units, metric by metric."""


class RaceRunner(BoardDispatch):
    """Runs one bracket.

    Args:
        board: of the search.
        race: the bracket.
        search: where workers find the search.
        runner: the started task runner of the bracket's flow run.
    """

    def __init__(self, board: Board, race: Race, search: SearchFile, runner: TuneTaskRunner) -> None:
        super().__init__(board, search, runner)
        self.race_of = race
        self.rows = dict(zip(race.keys, race.rows, strict=True))
        self.history = RaceHistory(race, [])
        board.histories.append(self.history)
        self._paths: dict[int, tuple[int, ...]] = dict.fromkeys(race.rows, ())
        self._held: dict[tuple[int, int], int] = {}
        self._names: dict[tuple[int, int], Any] = {}
        self._index = 0

    async def race(self) -> RaceHistory:
        """All scores of the bracket, once it is over."""
        metric, schedule = self.board.spec.metric, self.race_of.schedule
        number = 0
        while targets := schedule.next_round(self.history.reports(metric)):
            await self._round(targets)
            await self.board.off_loop(self._decide, number)
            number += 1
        return self.history

    async def _round(self, targets: Mapping[str, int]) -> None:
        board = self.board
        for key, level in targets.items():
            self._paths[self.rows[key]] += (level,)
        units = [
            TrainUnit(self.rows[key], split, self._paths[self.rows[key]])
            for key in targets
            for split in range(board.spec.n_splits)
        ]
        keys = await board.off_loop(self._look_up, units)
        known = {unit for unit in units if all(key in self.scores for key in keys[unit])}
        await self._train([unit for unit in units if unit not in known], keys)
        self._enter(units, keys, known)
        await board.told(board)

    async def _train(self, missing: list[TrainUnit], keys: Keys) -> None:
        """Nothing; all units have their scores, or have failed.

        Of units with the same training one is run, here or in another bracket; the others find what it left.
        """
        board = self.board
        while missing:
            names = {self._names[unit.row, unit.split]: unit for unit in reversed(missing)}
            async with board.claimed(names) as free:
                running = [unit for unit in free if not self._scored(unit, keys)]
                if running:
                    await self.run(self._batches(await board.off_loop(self._with_starts, running)))
            failed = {(unit.row, unit.split) for unit in running} & board.failures.keys()
            left = [u for u in missing if not self._scored(u, keys) and (u.row, u.split) not in failed]
            if running and len(left) == len(missing):
                raise InfrastructureError(
                    f"candidate {left[0].row}, split {left[0].split}: the worker's key of this training is "
                    "not the driver's. Do all workers have the same versions of your code, Python and the "
                    "packages?"
                )
            missing = left

    def _look_up(self, units: Sequence[TrainUnit]) -> Keys:
        """The keys of the scores of each unit; what the store knows of them is taken in."""
        chains = {unit: self.board.chain(unit.row, unit.split) for unit in units}
        self._names |= {(unit.row, unit.split): chain.name for unit, chain in chains.items()}
        found = {unit: chain.score_keys(unit.path) for unit, chain in chains.items()}
        wanted = [key for keys in found.values() for key in keys]
        self.scores |= self.board.store.lookup(wanted, self.board.spec.scope)
        return found

    def _with_starts(self, units: Sequence[TrainUnit]) -> list[TrainUnit]:
        """The units with the checkpoints that the store has on their way."""
        if not self.board.spec.resource.by_calls:
            return list(units)
        wanted: dict[str, tuple[TrainUnit, int]] = {}
        for unit in units:
            chain = self.board.chain(unit.row, unit.split)
            held = self._held.get((unit.row, unit.split), 0)
            for calls in range(max(held, 1), chain.calls(unit.path[-1]) + 1):
                wanted[chain.link(calls).hex()] = (unit, calls)
        starts: dict[TrainUnit, list[int]] = {unit: [] for unit in units}
        for key in self.board.store.lookup(list(wanted), self.board.spec.scope):
            unit, calls = wanted[key]
            starts[unit].append(calls)
        return [
            TrainUnit(
                unit.row,
                unit.split,
                unit.path,
                tuple(sorted(starts[unit], reverse=True)),
                stops=self._stops(unit),
            )
            for unit in units
        ]

    def _stops(self, unit: TrainUnit) -> tuple[int, ...]:
        """Rungs of other brackets on the way of a unit that they train, too."""
        before = unit.path[-2] if len(unit.path) > 1 else 0
        rungs = self.board.rungs.get(self._names[unit.row, unit.split], ())
        return tuple(level for level in rungs if before < level < unit.path[-1])

    def _batches(self, units: Sequence[TrainUnit]) -> list[RoundBatch]:
        batches = self._planned(units, self._index)
        self._index += len(batches) + 10_000  # what follows from these gets numbers in between
        return batches

    def _planned(self, units: Sequence[TrainUnit], first_index: int) -> list[RoundBatch]:
        race, board = self.race_of, self.board
        ahead = {unit: unit.path[-1] - ahead_from(unit) for unit in units}
        level = max(unit.path[-1] for unit in units)
        return plan_round(
            units,
            ahead,
            board.pace,
            board.slots,
            first_index=first_index,
            label=f"{race.label} · to {counted(level, board.spec.resource.unit)}",
            resources=board.resources,
            priority=board.max_resource - min(ahead_from(unit) for unit in units),
            crowded=board.tally.planned - board.tally.task_runs + len(units) > board.slots,
        )

    def rest(self, batch: Any, outcome: BatchOutcome, first_index: int) -> list[RoundBatch]:
        """What the batch had no time for; training that was cut short goes on from its checkpoint."""
        units = []
        for unit in batch.leaves:
            where = (unit.row, unit.split)
            if where in outcome.paused:
                calls, made, seconds = outcome.paused[where]
                spent = (unit.spent[0] + made, unit.spent[1] + seconds)
                unit = dataclasses.replace(unit, starts=(calls, *unit.starts), spent=spent)
            elif where in outcome.done:
                continue
            units.append(unit)
        return self._planned(units, first_index) if units else []

    def absorb(self, outcome: BatchOutcome) -> None:
        super().absorb(outcome)
        pace = self.board.pace
        for _, made, seconds in outcome.paused.values():
            pace.learn(made, seconds)
        for record in outcome.records:
            pace.learn(record.values["calls"], record.values["fit_seconds"])
            pace.learn_score(record.values["score_seconds"])

    def _scored(self, unit: TrainUnit, keys: Keys) -> bool:
        return all(key in self.scores for key in keys[unit])

    def _enter(self, units: Sequence[TrainUnit], keys: Keys, known: set[TrainUnit]) -> None:
        """Puts the scores of a round into the history, candidate by candidate in the order of their keys."""
        board, spec = self.board, self.board.spec
        elapsed = time.perf_counter() - board.started
        by_row: dict[int, list[TrainUnit]] = {}
        for unit in units:
            by_row.setdefault(unit.row, []).append(unit)
        for row, group in by_row.items():
            records = [[self.scores.get(key) for key in keys[unit]] for unit in group]
            present = [record for group_records in records for record in group_records if record is not None]
            scores = {
                metric: tuple(self._score(group_records[i]) for group_records in records)
                for i, metric in enumerate(spec.metrics)
            }
            fits = [r.values["fit_seconds"] for r in present]
            event = Scored(
                row=row,
                level=group[0].path[-1],
                scores=scores,
                fit_seconds=sum(fits) / len(fits) if fits else 0.0,
                score_seconds=sum(r.values["score_seconds"] for r in present) / max(1, len(present)),
                elapsed=elapsed,
                known=all(unit in known for unit in group),
            )
            self.history.events.append(event)
            self._count(event, group, known, records)

    def _score(self, record: Record | None) -> float:
        """A score as a number; what failed has none, whatever `error_score` shows in its place."""
        return float("nan") if record is None else float(record.values["score"])

    def _calls_since(self, unit: TrainUnit) -> int:
        """Training calls that the last level of a unit's path is away from the one before."""
        chain = self.board.chain(unit.row, unit.split)
        return chain.calls(unit.path[-1]) - chain.calls(unit.path[-2] if len(unit.path) > 1 else 0)

    def _count(
        self, event: Scored, group: Sequence[TrainUnit], known: set[TrainUnit], records: Sequence[Any]
    ) -> None:
        board = self.board
        for unit, (record, *_) in zip(group, records, strict=True):
            if unit in known:
                board.found += 1
                board.reused += record.values["fit_seconds"]
                board.known += self._calls_since(unit)
            else:
                board.run += 1
                if record is not None:  # it may have gone on from a checkpoint of an earlier run
                    board.known += max(0, self._calls_since(unit) - record.values["calls"])
                self._held[unit.row, unit.split] = board.chain(unit.row, unit.split).calls(event.level)
            board.reached[unit.row, unit.split] = event.level
        score = event.scores[board.spec.metric]
        value = sum(score) / len(score)
        if math.isfinite(value) and (board.best is None or value > board.best[0]):
            board.best = (value, event.row)

    def _decide(self, number: int) -> None:
        """Leaves the decision after a round in the journal.

        Raises:
            InfrastructureError: the journal has another one for the same round.
        """
        board, race = self.board, self.race_of
        reports = self.history.reports(board.spec.metric)
        following = race.schedule.next_round(reports)
        failed = sorted(key for key, found in reports.items() if found and not math.isfinite(found[-1].score))
        splits = range(board.spec.n_splits)
        seen = [self._seen(row, split) for row in race.rows for split in splits]
        rule = [repr(race.schedule), board.spec.metric, number, list(race.keys), failed]
        key = step_key("decision", encode(rule), seen).hex()
        scores = {key: found[-1].score for key, found in sorted(reports.items()) if found}
        values: dict[str, Any] = {
            "scores": {k: v for k, v in scores.items() if math.isfinite(v)},
            "next": dict(following),
        }
        failpoint("F6")
        earlier = board.store.lookup([key], board.spec.scope).get(key)
        if earlier is None:
            board.store.put_pack(
                [Record(key=key, kind="decision", values=values)], board.spec.scope, durable=True
            )
        elif dict(earlier.values["scores"]) != values["scores"]:
            self._conflict(number, dict(earlier.values["scores"]), values["scores"])
        failpoint("F7")

    def _seen(self, row: int, split: int) -> bytes:
        """The key of the score that a candidate has come to: how it was trained, and how it was scored."""
        chain, path = self.board.chain(row, split), self._paths[row]
        metric = self.board.spec.metrics.index(self.board.spec.metric)
        return bytes.fromhex(chain.score_keys(path)[metric]) if path else chain.start

    def _conflict(self, number: int, before: dict[str, float], now: dict[str, float]) -> None:
        changed = [key for key in now if before.get(key) != now[key]] or sorted(set(before) ^ set(now))
        row = self.rows[changed[0]]
        raise InfrastructureError(
            f"{self.race_of.label}, round {number + 1}: candidate {row} has the score "
            f"{now.get(changed[0])!r}, but an earlier run of the same search decided on "
            f"{before.get(changed[0])!r} ({len(changed)} scores differ). The estimator or the scorer does "
            "not repeat its results: set its random_state, or search into another store= folder."
        )


def ahead_from(unit: TrainUnit) -> int:
    """The level, or number of calls, from which a unit starts."""
    return (unit.path[-2] if len(unit.path) > 1 else 0) + unit.spent[0]
