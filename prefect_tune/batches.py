"""Task runs: the steps that must run, grouped so that each group is worth watching.

Rule 1: a step belongs to exactly one task run. What several task runs need is a task run of its own, and its
output goes through the store.
Rule 2: a quarter of a second to some three seconds of work, six per worker while there is work, longest
first. Fewer would leave workers idle at the end; more would cost task runs, which need processors too.
Rule 3: grouping never changes what is reused; each step keeps its own key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prefect_tune.nodes import Leaf, StepNode
from prefect_tune.plan import CompiledSearch, is_pick
from prefect_tune.text import fold_words

SHORTEST, LONGEST = 0.25, 3.0
"""Seconds of work that a task run aims at."""
PER_SLOT = 6
"""Task runs per thread of the cluster while there is work."""
PILOT_LEAVES = 8
PILOT_SECONDS = 0.4
OVERHEAD = 0.03
"""Seconds below which splitting work costs more than it wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One task run: the leaves to score, or the prefix steps that several task runs need.

    Attributes:
        index: its number in the plan.
        leaves: (candidate, fold) pairs; representatives only, when `prefixes` is given.
        prefixes: keys of the prefix nodes to run; empty for a batch of scores.
        keep: keys of nodes that several leaves share.
        known: keys of fits that the store has.
        after: batches whose outputs it needs.
        seconds: predicted seconds.
        label: what the task run is called.
        resources: Dask resources it needs.
        budget: seconds after which it returns with what it has; None: no limit.
        refit: whether it fits the whole on all rows and keeps the model.
    """

    index: int
    leaves: tuple[tuple[int, int], ...]
    prefixes: tuple[bytes, ...] = ()
    keep: frozenset[bytes] = frozenset()
    known: frozenset[bytes] = frozenset()
    after: tuple[int, ...] = ()
    seconds: float = 0.0
    label: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)
    budget: float | None = None
    refit: bool = False

    @property
    def rows(self) -> frozenset[int]:
        """The candidates of its leaves."""
        return frozenset(row for row, _ in self.leaves)


class Planner:
    """Groups what must run into task runs.

    Args:
        compiled: the search.
        slots: threads of the cluster.
        resources: step name -> Dask resources.
    """

    def __init__(self, compiled: CompiledSearch, slots: int, resources: Mapping[str, Mapping] | None = None):
        self.compiled, self.slots, self.resources = compiled, max(slots, 1), dict(resources or {})
        self._order = {key: i for i, key in enumerate(compiled.compiler.nodes)}

    def pilot(self) -> list[Batch]:
        """A few leaves per worker to measure, none when the costs are known or there is little to do."""
        unknown = self.compiled.unknown()
        families = {leaf.scores[0][1].family for leaf in unknown}
        if len(unknown) <= 4 * self.slots or all(map(self.compiled.costs.knows, families)):
            return []
        batches: list[Batch] = []
        for fold in range(min(self.slots, self.compiled.spec.n_splits)):
            # One fold per batch: no prefix is needed by two of them.
            leaves = [leaf for leaf in unknown if leaf.fold == fold]
            # Drawn by key: a stride through a grid would meet the same parameter value again and again.
            leaves = sorted(leaves, key=lambda leaf: leaf.key)[:PILOT_LEAVES]
            batches += self._leaf_batches([leaves], start=len(batches), budget=PILOT_SECONDS)
        return batches

    def batches(self) -> list[Batch]:
        """Every task run that is left, prefixes before what needs them, longest first among equals."""
        groups = self._cut(self._sorted(self.compiled.unknown()))
        prefix_batches, group_of = self._prefix_batches(groups)
        return prefix_batches + self._leaf_batches(groups, start=len(prefix_batches), group_of=group_of)

    def refit(self, row: int) -> Batch:
        """The task run that fits one candidate on all rows and keeps the model."""
        leaf = self.compiled.compiler.leaf(self.compiled.spec.candidates[row], -1)
        return Batch(
            index=-1,
            leaves=((row, -1),),
            resources=self._needs(leaf),
            label="best · all rows",
            refit=True,
        )

    def _sorted(self, leaves: list[Leaf]) -> list[Leaf]:
        order = self._order
        return sorted(
            leaves, key=lambda leaf: (leaf.fold, [order[n.key] for n in leaf.prefix], self._needs(leaf) != {})
        )

    def _target(self, leaves: Sequence[Leaf]) -> float:
        """Seconds of work that a batch of scores should hold."""
        total = sum(map(self.compiled.leaf_seconds, leaves))
        total += sum(map(self.compiled.costs.seconds, self.compiled.to_run(leaves).values()))
        fair = total / self.slots
        return min(max(total / (PER_SLOT * self.slots), min(SHORTEST, max(fair, OVERHEAD))), LONGEST)

    def _cut(self, leaves: Sequence[Leaf]) -> list[list[Leaf]]:
        """Leaves in tree order, cut into batches; rather between two prefixes than inside one."""
        if not leaves:
            return []
        target, held = self._target(leaves), 0.0
        groups: list[list[Leaf]] = [[]]
        for leaf in leaves:
            last = groups[-1][-1] if groups[-1] else None
            split = last is not None and (
                held >= 1.25 * target
                or (held >= 0.6 * target and last.prefix is not leaf.prefix)
                or self._needs(last) != self._needs(leaf)
            )
            if split:
                groups.append([])
                held = 0.0
            groups[-1].append(leaf)
            held += self.compiled.leaf_seconds(leaf)
        return groups

    def _prefix_batches(self, groups: list[list[Leaf]]) -> tuple[list[Batch], dict[bytes, int]]:
        """Task runs for the steps that several groups need, and which of them runs which step."""
        users: dict[bytes, int] = {}
        nodes: dict[bytes, tuple[StepNode, Leaf]] = {}
        for group in groups:
            representative = {id(leaf.prefix): leaf for leaf in group}
            mine: set[bytes] = set()
            for leaf in representative.values():
                for key, node in self.compiled.to_run([leaf]).items():
                    nodes.setdefault(key, (node, leaf))
                    mine.add(key)
            for key in mine:
                users[key] = users.get(key, 0) + 1
        wanted = sorted(
            (k for k, n in users.items() if n > 1 and not is_pick(nodes[k][0])), key=self._order.__getitem__
        )
        return self._gather(wanted, nodes, self._target([leaf for group in groups for leaf in group]))

    def _gather(
        self, wanted: list[bytes], nodes: dict[bytes, tuple[StepNode, Leaf]], target: float
    ) -> tuple[list[Batch], dict[bytes, int]]:
        members: list[list[bytes]] = []
        after: list[set[int]] = []
        held: list[float] = []
        group_of: dict[bytes, int] = {}
        open_by_fold: dict[tuple, int] = {}
        for key in wanted:
            node, _ = nodes[key]
            needs = {group_of[n.key] for n in node.ancestors() if n.key in group_of}
            direct = {group_of[k] for k in _near(node, group_of)}
            cost = self.compiled.costs.seconds(node)
            place = (node.fold, tuple(sorted(self._node_resources(node).items())))
            home = next(iter(direct)) if len(direct) == 1 else open_by_fold.get(place) if not needs else None
            if home is None or held[home] + cost > target or not needs <= after[home] | {home}:
                home = len(members)
                members.append([])
                after.append(set())
                held.append(0.0)
                if not needs:
                    open_by_fold[place] = home
            members[home].append(key)
            after[home] |= needs - {home}
            held[home] += cost
            group_of[key] = home
        batches = [
            self._prefix_batch(i, [nodes[key] for key in keys], tuple(sorted(after[i])), held[i])
            for i, keys in enumerate(members)
        ]
        return batches, group_of

    def _prefix_batch(
        self, index: int, members: list[tuple[StepNode, Leaf]], after: tuple[int, ...], seconds: float
    ) -> Batch:
        pairs = dict.fromkeys((leaf.rows[0], leaf.fold) for _, leaf in members)
        fits = list(dict.fromkeys(n.choice.label for n, _ in members if n.role in ("fit_transform", "merge")))
        label = f"{fold_words({n.fold for n, _ in members})} · {' · '.join(fits[:3]) or 'transform'}"
        more = f" · {len(fits) - 3} more" if len(fits) > 3 else ""
        resources: dict[str, float] = {}
        for node, _ in members:
            resources.update(self._node_resources(node))
        return Batch(
            index=index,
            leaves=tuple(pairs),
            prefixes=tuple(node.key for node, _ in members),
            keep=frozenset(node.key for node, _ in members),
            after=after,
            seconds=seconds,
            label=f"{label}{more} · shared",
            resources=resources,
        )

    def _leaf_batches(
        self,
        groups: list[list[Leaf]],
        *,
        start: int,
        group_of: Mapping[bytes, int] | None = None,
        budget: float | None = None,
    ) -> list[Batch]:
        batches: list[Batch] = []
        for group in groups:
            if not group:
                continue
            prefixes = {id(leaf.prefix): leaf.prefix for leaf in group}
            nodes = {node.key: node for prefix in prefixes.values() for node in prefix}
            after = {group_of[key] for key in nodes if key in group_of} if group_of else set()
            finals = (leaf.final.key for leaf in group if leaf.final is not None)
            batches.append(
                Batch(
                    index=start + len(batches),
                    leaves=tuple((leaf.rows[0], leaf.fold) for leaf in group),
                    keep=self.compiled.shared(nodes.values()),
                    known=frozenset(key for key in finals if key.hex() in self.compiled.prefixes),
                    after=tuple(sorted(after)),
                    seconds=sum(map(self.compiled.leaf_seconds, group)),
                    label=_label(group),
                    resources=self._needs(group[0]),
                    budget=budget,
                )
            )
        return batches

    def _needs(self, leaf: Leaf) -> dict[str, float]:
        return self._node_resources(leaf.final) if leaf.final is not None else {}

    def _node_resources(self, node: StepNode) -> dict[str, float]:
        """Dask resources of a step, by its name, its path or any name on its path."""
        if not self.resources or node.choice is None:
            return {}
        found: dict[str, float] = {}
        for name in (*node.choice.step.path.split("__"), node.choice.step.path):
            found.update(self.resources.get(name, {}))
        return found


def _near(node: StepNode, group_of: Mapping[bytes, int]) -> list[bytes]:
    """Keys of the closest ancestors that belong to a group; column picks are looked through."""
    found = []
    for parent in node.inputs:
        if parent.key in group_of:
            found.append(parent.key)
        elif is_pick(parent):
            found += _near(parent, group_of)
    return found


def _label(group: Sequence[Leaf]) -> str:
    """Name of a task run, such as `fold 2 · pca(50) · 24 candidates`."""
    fits = [n for n in group[0].prefix if n.role == "fit_transform" and not is_pick(n)]
    same = all(leaf.prefix is group[0].prefix for leaf in group)
    middle = [fits[-1].choice.label] if fits and same else []
    folds = {leaf.fold for leaf in group}
    noun = "candidate" if len(folds) == 1 else "fit"
    count = f"{len(group)} {noun}{'s' if len(group) != 1 else ''}"
    return " · ".join([fold_words(folds), *middle, count])
