"""Training the units of one batch of a round, and scoring them.

Rule 1: training goes on from the furthest state there is, in memory or in the store; what it arrives at is
left under its key before the task run ends. So whatever dies, at most the calls of one unit are made again.
Rule 2: a state belongs to one unit at a time. What memory holds is taken out of it to be trained further.
Rule 3: a candidate that raises costs itself only.
Rule 4: units that another search is just training come last, and are then its results if it has them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prefect_tune.chains import Chain
from prefect_tune.errors import DataError, InfrastructureError, ScoringError
from prefect_tune.identity.encode import encode
from prefect_tune.identity.keys import step_key
from prefect_tune.nodes import TEST
from prefect_tune.rounds import ModelUnit, PrefixUnit, RoundBatch, RowsUnit, TrainUnit
from prefect_tune.steps import ChainStep, Step
from prefect_tune.store import MissingBlob, Record
from prefect_tune.store.failpoints import failpoint
from prefect_tune.tasks.dataset import lend, private_copy
from prefect_tune.tasks.execute import Evaluator, as_declared, creator, wants_to_write
from prefect_tune.tasks.growth import Overwrites, Trained, grown, new_estimator, trained_by_calls
from prefect_tune.tasks.memo import StepFailed
from prefect_tune.tasks.models import leave_model, model_record
from prefect_tune.tasks.outcome import (
    LEAVING,
    OWN,
    BatchOutcome,
    FailedLeaf,
    cause_of,
    tail_of,
    trace_of,
    travelling,
)
from prefect_tune.tasks.scoring import ScoreFailed, score
from prefect_tune.tasks.states import States


class RoundRunner:
    """Runs what one batch of a round asks for.

    Args:
        evaluator: of the search, with chains.
        batch: what to run.
        outcome: filled as things end.
    """

    def __init__(self, evaluator: Evaluator, batch: RoundBatch, outcome: BatchOutcome) -> None:
        self.evaluator, self.batch, self.outcome = evaluator, batch, outcome
        self.spec, self.store, self.feed = evaluator.spec, evaluator.store, evaluator.data
        self.strict = self.spec.error_score == "raise"
        self.states: States = vars(evaluator).setdefault("states", States())

    def run(self) -> None:
        """Nothing; the outcome is filled.

        Raises:
            Exception: the user's own, with `error_score="raise"`.
        """
        self.deadline = time.perf_counter() + (self.batch.budget or float("inf"))
        later: list[TrainUnit] = []
        for unit in self.batch.leaves:
            if self._late():
                break
            if isinstance(unit, RowsUnit):
                self.feed.chunk(unit.split, TEST)
                self.outcome.done.append((unit.row, unit.split))
            elif isinstance(unit, PrefixUnit):
                self._prefix(unit)
            elif isinstance(unit, ModelUnit):
                self._model(unit)
            elif not self._in_turn(unit):
                later.append(unit)
        turns = self.evaluator.turns
        turns.put_off(len(later))
        for unit in later:
            if self._late():
                break
            begun = time.perf_counter()
            if turns.theirs(self._chain(unit).score_keys(unit.path)):
                self.outcome.done.append((unit.row, unit.split))
                continue
            self.deadline += time.perf_counter() - begun  # or it would pause after a single call
            self._unit(unit)
            turns.publish()

    def _late(self) -> bool:
        return bool(self.outcome.done) and time.perf_counter() > self.deadline

    def _in_turn(self, unit: TrainUnit) -> bool:
        """Whether the unit was served; False if another search is at it."""
        chain, turns = self._chain(unit), self.evaluator.turns
        family = f"{chain.choice.step.family}.{self.spec.resource.name}"
        if unit.scored and turns.matters(family):
            mine = turns.mine(chain.score_keys(unit.path))
            if mine is None:
                self.outcome.done.append((unit.row, unit.split))
            if not mine:
                return mine is None
        start = time.perf_counter()
        self._unit(unit)
        turns.learn(family, time.perf_counter() - start)
        return True

    def _chain(self, unit: TrainUnit | PrefixUnit | ModelUnit) -> Chain:
        chain = self.evaluator.chains.chain(self.spec.candidates[unit.row], unit.split)
        nodes = [node for state in chain.states if state is not None for node in state.nodes()]
        self.evaluator.always |= {ancestor.key for node in nodes for ancestor in node.ancestors()}
        return chain

    def _prefix(self, unit: PrefixUnit) -> None:
        state = self._chain(unit).states[unit.depth]
        assert state is not None  # nobody asks for a passthrough
        # The candidates behind it meet the same failure and report it as theirs.
        with suppress(StepFailed):
            self.evaluator.evaluate(list(state.nodes())[unit.part])
        self.outcome.done.append((unit.row, unit.split))

    # -- training ------------------------------------------------------------------------------------

    def _unit(self, unit: TrainUnit) -> None:
        chain = self._chain(unit)
        start = time.perf_counter()
        try:
            trained = self._trained(chain, unit, self.deadline)
        except StepFailed as failure:
            self._failed(unit, failure.__cause__, failure.seconds)
            return
        except (DataError, InfrastructureError):  # the data is gone or has changed: nobody's failure
            raise
        except OWN as error:  # user code that exits fails its candidate, not its worker
            self._failed(unit, error, time.perf_counter() - start)
            return
        if trained.key != chain.key(unit.path):
            made = trained.level - trained.since
            self.outcome.paused[unit.row, unit.split] = (trained.level, made, trained.seconds)
            self.states.put(trained.key, trained.state, trained.size)
            return
        self.outcome.done.append((unit.row, unit.split))
        if unit.scored:
            self._score(chain, unit, trained)
        self.states.put(chain.key(unit.path), trained.state, trained.size)

    def _trained(self, chain: Chain, unit: TrainUnit, deadline: float = float("inf")) -> Trained:
        """The state at the last level of the unit's path, or as far as time allowed; left in the store."""
        key, found = chain.key(unit.path), self._furthest(chain, unit)
        while found.key != key:
            ahead = [level for level in unit.stops if chain.calls(level) > found.level]
            path = (*unit.path[:-1], ahead[0]) if ahead else unit.path
            try:
                found = self._further(chain, path, found, deadline)
            except Overwrites:  # the state has seen a call that broke off
                found = self._furthest(chain, unit)
                continue
            if found.key == chain.key(path) and time.perf_counter() < deadline:
                continue
            if found.size:
                break
            deadline = float("inf")  # nothing was stored that another task run could go on from
        return found

    def _further(self, chain: Chain, path: tuple[int, ...], found: Trained, deadline: float) -> Trained:
        """`found` trained on, and left in the store."""
        key = chain.key(path)
        if found.state is None:
            found.state = new_estimator(chain.choice, self.spec.seed, chain.start)
        train = trained_by_calls if self.spec.resource.by_calls else grown
        start = time.perf_counter()
        state, level = train(self.evaluator, chain, found, path, deadline)
        seconds = found.seconds + time.perf_counter() - start
        if self.spec.resource.by_calls:
            key = chain.link(level)
        trained = Trained(key=key, state=state, level=level, since=found.since, seconds=seconds)
        failpoint("F1")
        record = Record(
            key=key.hex(),
            kind="checkpoint",
            family=f"{chain.choice.step.family}.{self.spec.resource.name}",
            values={"level": level, "from": found.level},
            inputs=(chain.start.hex(),),
            seconds=trained.seconds,
            created=time.time(),
            creator=creator(),
        )
        stored = self.store.put(record, {"model": trained.state}, self.spec.scope)
        trained.size = stored.outputs[0].size if stored.outputs else 0
        return trained

    def _furthest(self, chain: Chain, unit: TrainUnit) -> Trained:
        """The furthest state on the way to the unit's level: from memory, from the store, or none yet."""
        for level, key in self._stations(chain, unit):
            state = self.states.take(key)
            if state is not None:
                return Trained(key=key, state=state, level=level, since=level)
            # A task run that was lost may have left more than the driver knew of.
            stored = level in unit.starts or key == chain.key(unit.path) or not self.spec.resource.by_calls
            record = self.store.get(key.hex(), self.spec.scope) if stored else None
            if record is None or not record.outputs:
                continue
            with suppress(MissingBlob):
                state = self.store.load(record, "model", writable=True)
                self.outcome.reused += 1
                return Trained(key=key, state=state, level=level, since=level, size=record.outputs[0].size)
        return Trained(key=chain.start)

    def _stations(self, chain: Chain, unit: TrainUnit) -> Iterator[tuple[int, bytes]]:
        """(level or calls, key) of every state that may be there, the furthest first."""
        if self.spec.resource.by_calls:
            # Memory may have what the store could not take.
            held = {chain.calls(level) for level in unit.path[-2:]}
            for calls in sorted({*unit.starts, *held}, reverse=True):
                yield calls, chain.link(calls)
            return
        shortest = 1 if self.spec.resource.warm else len(unit.path)  # a cold fit begins with nothing
        for length in range(len(unit.path), shortest - 1, -1):
            yield unit.path[length - 1], chain.key(unit.path[:length])

    # -- scores --------------------------------------------------------------------------------------

    def _score(self, chain: Chain, unit: TrainUnit, trained: Trained) -> None:
        begun = time.perf_counter()
        target = self.feed.target(unit.split, TEST)
        try:
            if chain.through:
                estimator, shown = trained.state, self.evaluator.evaluate(chain.validation).out
            else:
                estimator = self.whole(chain, unit.row, trained.state)
                shown = private_copy(self.feed.rows(unit.split, TEST))
        except StepFailed as failure:
            self._failed(unit, failure.__cause__, failure.seconds)
            return

        def ask(X: Any) -> Any:
            place = chain.score_keys(unit.path)[0]
            watched = {"strict": self.strict, "watch": self.evaluator.watch, "place": place}
            return score(self.spec.scorer, estimator, X, lend(target), {}, **watched)

        try:
            try:
                scores = ask(lend(shown))
            except ValueError as error:
                if not wants_to_write(error):
                    raise
                scores = ask(private_copy(shown))
        except LEAVING as error:
            self._failed(unit, error, time.perf_counter() - begun)
            return
        seconds = time.perf_counter() - begun
        self.evaluator.ran.append((f"{chain.choice.step.family}.score", seconds))
        for key, (metric, value) in zip(chain.score_keys(unit.path), scores.items(), strict=True):
            if isinstance(value, ScoreFailed):
                cause, tail = value.strip().splitlines()[-1], tail_of(value)
                self.outcome.failures.append(
                    FailedLeaf(row=unit.row, fold=unit.split, metric=metric, cause=cause, tail=tail)
                )
                continue
            if isinstance(value, dict):
                raise ScoringError(
                    f"scoring: the scorer returned {len(value)} scores ({', '.join(map(str, value))}), so it "
                    "is not known which one ranks. Pass a dict of scorers, and the one that ranks as refit."
                )
            values = {
                "score": value,
                "score_seconds": seconds,
                "fit_seconds": unit.spent[1] + trained.seconds,
                "calls": unit.spent[0] + trained.level - trained.since,
            }
            self.outcome.records.append(
                Record(
                    key=key,
                    kind="score",
                    family=f"{chain.choice.step.family}.score",
                    values=values,
                    seconds=seconds / len(scores),
                    created=time.time(),
                    creator=creator(),
                )
            )

    # -- whole estimators ----------------------------------------------------------------------------

    def whole(self, chain: Chain, row: int, state: Any, *, declared: bool = False) -> Any:
        """The user's estimator with the candidate's parameters, every step replaced by its fitted state."""
        tree, _ = self.evaluator.compiler.resolve(self.spec.candidates[row])
        return self._assembled(tree, self.evaluator.configured(row), iter(chain.states), state, declared)

    def _assembled(self, tree: Step, base: Any, states: Iterator[Any], last: Any, declared: bool) -> Any:
        if not isinstance(tree, ChainStep):
            return as_declared(last, base) if declared else last
        parts = []
        for (name, part), (_, child) in zip(base.steps[:-1], tree.children[:-1], strict=True):
            state = next(states)
            if child is not None and state is not None:
                part = self.evaluator.assemble(state, part, declared=declared)
            parts.append((name, part))
        name, part = base.steps[-1]
        final = tree.children[-1][1]
        assert final is not None  # the chain was made of it
        base.steps = [*parts, (name, self._assembled(final, part, states, last, declared))]
        return base

    def _model(self, unit: ModelUnit) -> None:
        """Leaves the whole fitted estimator in the store, as the user declared it."""
        chain = self._chain(unit)
        states = [node.key for state in chain.states if state is not None for node in state.nodes()]
        extras = encode(sorted(map(str, self.spec.estimator.get_params(deep=True).items())))
        key = step_key("model", b"", (chain.key(unit.path), *states), extras).hex()

        def fit() -> tuple[Any, Record]:
            train = TrainUnit(unit.row, unit.split, unit.path, unit.starts, scored=False)
            try:
                trained = self._trained(chain, train)
                model = self.whole(chain, unit.row, trained.state, declared=True)
            except StepFailed as failure:
                raise travelling(failure.__cause__) from None
            return model, model_record(key, model, trained.seconds)

        self.outcome.reused += leave_model(key, self.evaluator.turns, fit)
        self.outcome.model = key
        self.outcome.done.append((unit.row, unit.split))

    def _failed(self, unit: TrainUnit, error: BaseException | None, seconds: float) -> None:
        if self.strict:
            raise travelling(error) from None
        if (unit.row, unit.split) not in self.outcome.done:
            self.outcome.done.append((unit.row, unit.split))
        self.outcome.failures.append(
            FailedLeaf(
                row=unit.row,
                fold=unit.split,
                cause=cause_of(error),
                tail=tail_of(trace_of(error)),
                seconds=seconds,
            )
        )
