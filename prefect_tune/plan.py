"""What a search would do: which steps are known, which must run, and what they should cost.

Rule 1: pruned from the leaves up. When a score is known, nothing above it is looked at.
Rule 2: the store's own records are the cost model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.graph import Compiler
from prefect_tune.identity.code import session
from prefect_tune.nodes import Leaf, StepNode
from prefect_tune.search import SearchSpec
from prefect_tune.steps import ColumnPick
from prefect_tune.store import Record, StepStore

GUESS = 0.05
"""Seconds of a step nobody has measured, nor any step like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """The dry run of a search: what is known, what must run, what it should cost.

    Attributes:
        candidates, folds: size of the search.
        uses: steps if every candidate and fold ran alone.
        distinct: steps after equal ones are merged.
        known: distinct steps that need not run.
        to_run: distinct steps that must.
        task_runs: task runs they are grouped into.
        seconds: predicted seconds of work, over all workers; None while nothing like it was ever measured.
        saved: recorded seconds of the steps that need not run.
    """

    candidates: int
    folds: int
    uses: int
    distinct: int
    known: int
    to_run: int
    task_runs: int
    seconds: float | None
    saved: float

    def __str__(self) -> str:
        work = "not measured yet" if self.seconds is None else f"about {self.seconds:.1f} s of work"
        return (
            f"{self.candidates} candidates × {self.folds} folds: {self.uses} steps, "
            f"{self.distinct} distinct, {self.known} known, "
            f"{self.to_run} to run in {self.task_runs} task runs, {work}"
        )


class CostModel:
    """Predicted seconds of steps, learnt from records.

    A step costs the mean of its family (class and role). A leaf costs that mean, times how its prefix and its
    parameters have compared with the mean so far; what was never measured counts as average.
    """

    def __init__(self) -> None:
        self._families: dict[str, tuple[int, float]] = {}
        self._traits: dict[tuple[str, bytes], tuple[int, float]] = {}

    def learn(self, family: str, seconds: float) -> None:
        """Takes in one measurement of a prefix step."""
        _add(self._families, family, seconds)

    def learn_leaf(self, leaf: Leaf, seconds: float) -> None:
        """Takes in what the fit and the scores of a leaf took."""
        family = leaf.scores[0][1].family
        _add(self._families, family, seconds)
        for trait in _traits(leaf):
            _add(self._traits, (family, trait), seconds)

    def knows(self, family: str) -> bool:
        return family in self._families

    def seconds(self, node: StepNode) -> float:
        """Predicted seconds of a prefix step."""
        return 0.0 if is_pick(node) else self._family(node.family)

    def leaf_seconds(self, leaf: Leaf) -> float:
        """Predicted seconds of the fit and the scores that are the leaf's own."""
        family = leaf.scores[0][1].family
        mean = guess = self._family(family)
        for trait in _traits(leaf):
            count, total = self._traits.get((family, trait), (0, 0.0))
            if count and mean:
                guess *= total / count / mean
        return guess

    def _family(self, family: str) -> float:
        """The mean of a family, else of all, else a guess."""
        count, total = self._families.get(family, (0, 0.0))
        if not count:
            count = sum(n for n, _ in self._families.values())
            total = sum(t for _, t in self._families.values())
        return total / count if count else GUESS


def _add(table: dict, key: Any, seconds: float) -> None:
    count, total = table.get(key, (0, 0.0))
    table[key] = (count + 1, total + seconds)


def _traits(leaf: Leaf) -> tuple[bytes, ...]:
    """What may set a leaf's cost apart, fold aside: the step before the last, and the last's parameters."""
    final = leaf.final
    if final is None:
        return ()
    before = final.inputs[0].choice
    return (final.choice.identity, before.identity) if before is not None else (final.choice.identity,)


class CompiledSearch:
    """All leaves of a search and what the store knows of them.

    Args:
        spec: the search.
        store: where known results are looked up.
    """

    def __init__(self, spec: SearchSpec, store: StepStore) -> None:
        self.spec, self.store = spec, store
        self.compiler: Compiler = spec.compiler()
        self.leaves: dict[bytes, Leaf] = {}
        self.table: list[list[Leaf]] = []
        with session():  # the user's code cannot change while it is compiled
            for row, params in enumerate(spec.candidates):
                tree = self.compiler.resolve(params)
                leaves = (self.compiler.place(tree, fold) for fold in range(spec.n_splits))
                self.table.append([self._enter(leaf, row) for leaf in leaves])
        self.uses = self.compiler.uses
        self.costs = CostModel()
        self.scores: dict[str, Record] = {}
        self.prefixes: dict[str, Record] = {}
        self.failed: set[bytes] = set()
        self._users = self._count_users()
        self.look_up()

    def _enter(self, leaf: Leaf, row: int) -> Leaf:
        leaf = self.leaves.setdefault(leaf.key, leaf)
        leaf.rows.append(row)
        return leaf

    def _count_users(self) -> dict[bytes, int]:
        """How many distinct leaves need each prefix node."""
        by_prefix: dict[int, tuple[tuple[StepNode, ...], int]] = {}
        for leaf in self.leaves.values():
            nodes, count = by_prefix.get(id(leaf.prefix), (leaf.prefix, 0))
            by_prefix[id(leaf.prefix)] = (nodes, count + 1)
        users: dict[bytes, int] = {}
        for nodes, count in by_prefix.values():
            for node in nodes:
                users[node.key] = users.get(node.key, 0) + count
        return users

    def look_up(self) -> None:
        """Asks the store, once for scores and once for what unknown leaves need."""
        keys = [key for leaf in self.leaves.values() for key in leaf.score_keys]
        self.scores = dict(self.store.lookup(keys, self.spec.scope))
        for leaf in self.leaves.values():
            self.take_in(leaf)
        self.look_up_prefixes()

    def look_up_prefixes(self) -> None:
        """Asks the store for the prefixes and fits that unknown leaves need."""
        wanted: dict[str, StepNode] = {}
        for leaf in self.unknown():
            for node in leaf.prefix:
                wanted[node.key.hex()] = node
            if leaf.final is not None:
                wanted[leaf.final.key.hex()] = leaf.final
        found = self.store.lookup(list(wanted), self.spec.scope)
        self.prefixes = {key: record for key, record in found.items() if record.outputs}
        for key, record in self.prefixes.items():
            self.costs.learn(wanted[key].family, record.seconds)

    def unknown(self) -> list[Leaf]:
        """Leaves of which some score is not known and that have not failed, in table order."""
        return [
            leaf
            for leaf in self.leaves.values()
            if leaf.key not in self.failed and not all(key in self.scores for key in leaf.score_keys)
        ]

    @property
    def distinct(self) -> int:
        """Number of distinct steps: prefixes, fits and scores."""
        prefixes = len(self._users)
        fits = len({leaf.final.key for leaf in self.leaves.values() if leaf.final is not None})
        return prefixes + fits + len(self.leaves) * len(self.spec.sides)

    def to_run(self, leaves: Sequence[Leaf]) -> dict[bytes, StepNode]:
        """The prefix nodes that must run for `leaves`, inputs first."""
        needed: dict[bytes, StepNode] = {}
        seen: set[int] = set()
        for leaf in leaves:
            if id(leaf.prefix) in seen:
                continue
            seen.add(id(leaf.prefix))
            demanded = self._demanded(leaf)
            for node in leaf.prefix:
                if node.key in demanded:
                    needed[node.key] = node
        return needed

    def _demanded(self, leaf: Leaf) -> set[bytes]:
        stack = [
            *(leaf.final.inputs if leaf.final is not None else ()),
            *(n.inputs[-1] for _, n in leaf.scores),
        ]
        demanded: set[bytes] = set()
        while stack:
            node = stack.pop()
            if node.role == "rows" or node.key in demanded or node.key.hex() in self.prefixes:
                continue
            demanded.add(node.key)
            stack.extend(node.inputs)
        return demanded

    def shared(self, nodes: Iterable[StepNode]) -> frozenset[bytes]:
        """Keys of those nodes that several leaves need."""
        return frozenset(node.key for node in nodes if self._users.get(node.key, 0) > 1)

    def leaf_seconds(self, leaf: Leaf) -> float:
        """Predicted seconds of the fit and the scores that are the leaf's own."""
        return self.costs.leaf_seconds(leaf)

    def take_in(self, leaf: Leaf) -> None:
        """Learns what a leaf took, once all its scores are known."""
        records = [self.scores.get(key) for key in leaf.score_keys]
        if None not in records:
            self.costs.learn_leaf(leaf, sum(record.seconds for record in records if record))


def summarise(compiled: CompiledSearch, task_runs: int = 0) -> SearchPlan:
    """The dry run as numbers, for a search that is grouped into `task_runs` task runs."""
    unknown = compiled.unknown()
    prefixes = [node for node in compiled.to_run(unknown).values() if not is_pick(node)]
    finals = {leaf.final.key for leaf in unknown if leaf.final is not None}
    stored = sum(key.hex() in compiled.prefixes for key in finals)
    to_run = len(prefixes) + len(finals) - stored + len(unknown) * len(compiled.spec.sides)
    families = {leaf.scores[0][1].family for leaf in unknown}
    measured = all(map(compiled.costs.knows, families))
    seconds = sum(map(compiled.leaf_seconds, unknown)) + sum(map(compiled.costs.seconds, prefixes))
    saved = sum(r.seconds for r in (*compiled.scores.values(), *compiled.prefixes.values()))
    picks = sum(is_pick(compiled.compiler.nodes[key]) for key in compiled._users)
    distinct = compiled.distinct - picks
    return SearchPlan(
        candidates=len(compiled.spec.candidates),
        folds=compiled.spec.n_splits,
        uses=compiled.uses,
        distinct=distinct,
        known=distinct - to_run,
        to_run=to_run,
        task_runs=task_runs,
        seconds=seconds if measured else None,
        saved=saved,
    )


def is_pick(node: StepNode) -> bool:
    """Whether `node` only picks columns; it costs nothing and is no step to a user."""
    return node.choice is not None and isinstance(node.choice.step.prototype, ColumnPick)
