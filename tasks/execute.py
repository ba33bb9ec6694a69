"""Running the nodes of a search in a worker: the only place where user code runs.

Rule 1: demand drives. A node is looked up in memory, then in the store, then computed from its inputs; so
how nodes are grouped into task runs never changes what is reused.
Rule 2: what is computed follows scikit-learn's own `fit` of the whole estimator call by call.
Rule 3: a failure is a value here; it is remembered, so that siblings fail fast with the same cause.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from typing import Any

from prefect_tune.identity.registry import TABLE
from prefect_tune.identity.seeds import derive_seed, inject_seeds, low32
from prefect_tune.nodes import Fitted, Leaf, StepNode
from prefect_tune.plan import is_pick
from prefect_tune.steps import ChainStep, ColumnPick, UnionStep
from prefect_tune.store import MissingBlob, Record, StepStore
from prefect_tune.store.failpoints import failpoint
from prefect_tune.tasks.dataset import Dataset, lend, private_copy, protect, size_of
from prefect_tune.tasks.feed import ChunkFeed
from prefect_tune.tasks.growing import Gardener
from prefect_tune.tasks.isolation.limits import UNWATCHED
from prefect_tune.tasks.memo import Memo, Outcome, StepFailed
from prefect_tune.tasks.outcome import OWN
from prefect_tune.tasks.seeding import seed_globals
from prefect_tune.tasks.turns import Turns
from prefect_tune.tasks.unions import Picker, fit_merge, graft, transform_merge
from prefect_tune.training import TrainingSpec

SMALL = 32 * 2**20
"""An output below this size is kept whenever it is shared."""
IO_BYTES_PER_SECOND = 1e9
WRITING_WORDS = ("read-only", "readonly", "not writeable", "not writable", "WRITEABLE")


class Evaluator:
    """Evaluates nodes of one search in one process.

    Args:
        spec: the search, a `SearchSpec` or a `TrainingSpec`.
        store: where inputs are found and results are left.
        memo: outcomes of earlier batches in this process.
    """

    def __init__(self, spec: Any, store: StepStore, memo: Memo) -> None:
        self.spec, self.store, self.memo = spec, store, memo
        self.data: Any  # Dataset | ChunkFeed, as the spec says
        if isinstance(spec, TrainingSpec):
            self.data, self.chains = ChunkFeed(spec, store), spec.chains()
            self.compiler = self.chains.steps
        else:
            self.data, self.compiler = Dataset(spec, store), spec.compiler()
        self.gardener = Gardener(spec, self.compiler, store)
        self.turns = Turns(store, spec.scope)
        self.keep: frozenset[bytes] = frozenset()
        self.always: frozenset[bytes] = frozenset()
        self.known: frozenset[bytes] = frozenset()
        self.ran: list[tuple[str, float]] = []
        self.reused = 0
        self.watch = UNWATCHED

    # -- nodes ---------------------------------------------------------------------------------------

    def evaluate(self, node: StepNode) -> Outcome:
        """The outcome of `node`: remembered, stored, or computed now.

        Raises:
            StepFailed: when the node or one it needs raises.
        """
        if node.role == "rows" and isinstance(self.data, ChunkFeed):
            return Outcome(out=self.data.rows(node.fold, node.side))  # which holds as many as it may
        found = self.memo.get(node.key)
        if found is None:
            found = self._stored(node)
            if found is None:
                try:
                    found = self._in_turn(node)
                except StepFailed as failure:
                    found = failure
            self.memo.put(node.key, found)
        if isinstance(found, StepFailed):
            raise found
        return found

    def _stored(self, node: StepNode) -> Outcome | None:
        if node.role == "rows" or is_pick(node) or (node.role == "fit" and node.key not in self.known):
            return None
        record = self.store.get(node.key.hex(), self.spec.scope)
        outcome = self._load(node, record) if record is not None and record.outputs else None
        if outcome is not None:
            self.reused += 1
        return outcome

    def _load(self, node: StepNode, record: Record) -> Outcome | None:
        try:
            parts = {blob.name: self.store.load(record, blob.name) for blob in record.outputs}
        except MissingBlob:
            return None
        out = protect(parts.get("out"))
        self.gardener.learn(node, record)
        return Outcome(parts.get("state"), out, record.seconds, size_of(out))

    def _in_turn(self, node: StepNode) -> Outcome:
        """Computed here, or had from another search that is just computing it."""
        left = node.key in self.keep or node.key in self.always  # only what is left in the store can be had
        if not left or node.role == "rows" or is_pick(node) or not self.turns.matters(node.family):
            return self._compute(node)
        return self.turns.once(node.key.hex(), lambda: self._stored(node), lambda: self._compute(node))

    def _compute(self, node: StepNode) -> Outcome:
        if node.role == "rows":
            rows = self.data.rows(node.fold, node.side, node.pairwise)
            return Outcome(out=rows, size=size_of(rows) if node.fold >= 0 else 0)
        inputs = [self.evaluate(parent) for parent in node.inputs]
        seed_globals(self.spec.seed, node.key)
        start = time.perf_counter()
        try:
            with self.watch.running(node.key.hex()):
                state, out = self._run(node, inputs)
        except OWN as error:  # user code that exits fails its candidate, not its worker
            raise StepFailed(node, time.perf_counter() - start) from error
        outcome = Outcome(state, out, time.perf_counter() - start)
        outcome.size = size_of(outcome.out)
        failpoint("F1")
        if not is_pick(node):
            self.ran.append((node.family, outcome.seconds))
            self.turns.learn(node.family, outcome.seconds)
        return self._settle(node, outcome)

    def _settle(self, node: StepNode, outcome: Outcome) -> Outcome:
        """The outcome as it is from now on: the stored form where it is worth storing."""
        protect(outcome.out)
        worth = node.key in self.always or _worth_keeping(node, outcome, node.key in self.keep)
        if not worth and not self.gardener.keeps(node):
            return outcome
        record = Record(
            key=node.key.hex(),
            kind=node.role,
            family=node.family,
            seconds=outcome.seconds,
            values=self.gardener.values(node, worth_keeping=worth),
            inputs=tuple(parent.key.hex() for parent in node.inputs),
            created=time.time(),
            creator=creator(),
        )
        parts = {
            name: value
            for name, value in (("state", outcome.state), ("out", outcome.out))
            if value is not None
        }
        winner = self.store.put(record, parts, self.spec.scope)
        if winner.creator != creator() and winner.outputs:
            return self._load(node, winner) or outcome
        if outcome.out is not None and winner.outputs:
            with suppress(MissingBlob):
                outcome.out = protect(self.store.load(winner, "out"))
        return outcome

    def _run(self, node: StepNode, inputs: list[Outcome]) -> tuple[Any, Any]:
        try:
            return self._call(node, [lend(item.out) for item in inputs], inputs)
        except ValueError as error:
            # A step that writes into its input gets a copy of its own, as every step has in scikit-learn.
            if not wants_to_write(error):
                raise
            return self._call(node, [private_copy(item.out) for item in inputs], inputs)

    def _call(self, node: StepNode, data: list[Any], inputs: list[Outcome]) -> tuple[Any, Any]:
        if node.role in ("fit", "fit_transform"):
            return self._fit(node, data[0])
        if node.role == "merge":
            union = node.choice.build()
            if data[0] is None:
                return union, None
            y = lend(self.data.target(node.fold, node.side))
            return fit_merge(union, node.choice.step.fitted, data[1:], data[0], y)
        if data[1] is None:
            return None, None
        if node.role == "transform":
            return None, inputs[0].state.transform(data[1])
        return None, transform_merge(inputs[0].state, node.choice.step.fitted, data[2:], data[1])

    def _fit(self, node: StepNode, X: Any) -> tuple[Any, Any]:
        choice = node.choice
        if isinstance(choice.step.prototype, ColumnPick):
            picker = Picker(choice.step.prototype)
            return picker, None if X is None else picker.fit_transform(X)
        step = choice.build()
        if X is None:
            return step, None  # a branch without columns stays unfitted, as in scikit-learn
        inject_seeds(step, lambda path: low32(derive_seed(self.spec.seed, node.key, path)))
        run_alone(step)
        y = lend(self.data.target(node.fold, node.side))
        arguments = {m: self.data.arguments(names, node.fold) for m, names in choice.step.routed.items()}
        if node.role == "fit":
            # scikit-learn's searches call fit(X) without y; a pipeline always passes y on.
            given_y = () if y is None and not choice.step.path else (y,)
            step = self.gardener.fit(node, step, X, *given_y, **arguments.get("fit", {}))
            out = None
        elif hasattr(step, "fit_transform"):
            out = step.fit_transform(X, y, **arguments.get("fit_transform", {}))
        else:
            step = step.fit(X, y, **arguments.get("fit", {}))
            out = step.transform(X, **arguments.get("transform", {}))
        return step, out

    # -- whole estimators ----------------------------------------------------------------------------

    def assemble(self, fitted: Fitted, base: Any, *, declared: bool = False) -> Any:
        """`base`, the configured whole, with every part replaced by its fitted state.

        Args:
            declared: whether the parts get back the parameters that were set for running them here (seeds,
                jobs, memory), as the user declared them.
        """
        if isinstance(fitted.step, ChainStep):
            base.steps = [
                (name, part if child is None else self.assemble(child, part, declared=declared))
                for (name, part), child in zip(base.steps, fitted.children, strict=True)
            ]
            return base
        state = self.evaluate(fitted.node).state
        if not isinstance(fitted.step, UnionStep):
            state = _same_class(state, base)
            return as_declared(state, base) if declared else state
        unfitted = _branches(base)
        parts = {
            name: self.assemble(child, unfitted[name], declared=declared)
            for (name, _), child in zip(fitted.step.branches, fitted.children, strict=True)
        }
        return graft(base, state, parts)

    def configured(self, row: int) -> Any:
        """The user's estimator with one candidate's parameters, unfitted."""
        from sklearn.base import clone

        return clone(self.spec.estimator).set_params(**clone(dict(self.spec.candidates[row]), safe=False))

    def fit_seconds(self, leaf: Leaf) -> float:
        """Seconds of all steps that the fit of `leaf` rests on, each once."""
        seen: dict[bytes, float] = {}
        for state in leaf.fitted.nodes():
            for node in state.ancestors():
                found = self.memo.get(node.key)
                if node.key not in seen and isinstance(found, Outcome):
                    seen[node.key] = found.seconds + self.gardener.before.get(node.key, 0.0)
        return sum(seen.values())


def creator() -> str:
    """This process, as records name who made them."""
    return _creator(os.getpid())


@cache
def _creator(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{uuid.uuid4().hex[:8]}"


def wants_to_write(error: Any) -> bool:
    """Whether an error, or its text, says that something shared was about to be overwritten."""
    return any(word in str(error) for word in WRITING_WORDS)


def _branches(union: Any) -> dict[str, Any]:
    from sklearn.base import clone

    if hasattr(union, "transformer_list"):
        return dict(union.transformer_list)
    parts = {name: clone(part) for name, part, _ in union.transformers if not isinstance(part, str)}
    return {**parts, "remainder": clone(union.remainder, safe=False)}


def _same_class(state: Any, base: Any) -> Any:
    """`state` as an instance of the class the user has now.

    A class of `__main__` is stored by value; another session gets a twin of it. The key covers its source,
    so the twin does the same.
    """
    kind, wanted = type(state), type(base)
    same_name = (kind.__module__, kind.__qualname__) == (wanted.__module__, wanted.__qualname__)
    if kind is not wanted and same_name:
        state.__class__ = wanted
    return state


def run_alone(step: Any) -> None:
    """Makes `step` use one thread and no cache of its own: jobs change bits, foreign caches miss edits."""
    params = step.get_params(deep=True)
    jobs = {name: 1 for name, value in params.items() if _named(name, "n_jobs") and value not in (None, 1)}
    caches = {name: None for name, value in params.items() if _named(name, "memory") and value is not None}
    if jobs or caches:
        step.set_params(**jobs, **caches)


def as_declared(state: Any, base: Any) -> Any:
    """`state` with the seeds, jobs and caches that the user declared."""
    declared, running = base.get_params(deep=True), state.get_params(deep=True)
    changed = {
        name: value
        for name, value in declared.items()
        if name in running
        and running[name] is not value
        and (any(_named(name, kind) for kind in TABLE) or (_named(name, "random_state") and value is None))
    }
    return state.set_params(**changed) if changed else state


def _named(path: str, name: str) -> bool:
    return path == name or path.endswith(f"__{name}")


def _worth_keeping(node: StepNode, outcome: Outcome, shared: bool) -> bool:
    """Whether an outcome is worth its writing and reading.

    Shared prefixes are kept while they are small, so that a widened search finds them. What one leaf alone
    uses is kept only if computing it again would cost far more than the disk does.
    """
    if is_pick(node):
        return False
    io = 2 * outcome.size / IO_BYTES_PER_SECOND + 0.001
    if node.role != "fit" and shared:
        return outcome.size <= SMALL or outcome.seconds > 2 * io
    return outcome.seconds >= 1.0 and outcome.seconds > 20 * io
