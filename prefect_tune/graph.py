"""A search compiled to a graph: one node per distinct key.

Rule 1: keys are input-addressed. A node's key is made from its step and the keys of its inputs, so the whole
graph is keyed before anything runs.
Rule 2: position is never identity. Candidates may be listed in any order, twice, or with numpy scalars.
Rule 3: the same code compiles in the driver, which only reads keys, and in the worker, which runs the nodes;
so a candidate and a fold are all that travels.
Rule 4: the training side of a step is `fit_transform`, the evaluation side is `transform`; the two never
share a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect_tune.identifier import Identifier
from prefect_tune.identity.encode import encode
from prefect_tune.identity.keys import step_key
from prefect_tune.nodes import FITTING, TEST, TRAIN, Fitted, Folds, Leaf, StepNode
from prefect_tune.steps import ChainStep, LeafChoice, LeafStep, Step, UnionStep
from prefect_tune.structure import Trees, ends_in_leaf

# How many equal seeded steps one fit has met so far; the n-th gets another seed than the first.
Twins = dict[tuple[bytes, bytes], int]


class Compiler:
    """Turns candidates into nodes; equal keys give the same node.

    Args:
        estimator: the user's unfitted estimator.
        folds: identity of the splits.
        metrics: name -> identity digest of each scorer.
        sides: `("test",)`, or `("test", "train")` with train scores.
        seed: the search's seed, which enters the keys of seeded steps.
        context: frame of what holds for every step (versions, global configuration, salt).
        through: whether all scorers may be shown the predicting step in place of the whole estimator.
        identifier: the frames of values; None: a new one.
    """

    def __init__(
        self,
        estimator: Any,
        folds: Folds,
        metrics: Mapping[str, bytes],
        *,
        sides: Sequence[str] = (TEST,),
        seed: int = 0,
        context: bytes = b"",
        through: bool = True,
        identifier: Identifier | None = None,
    ) -> None:
        self.estimator, self.folds, self.metrics = estimator, folds, dict(metrics)
        self.sides, self.seed, self.context, self.through = tuple(sides), seed, context, through
        self.identifier = identifier or Identifier()
        self.nodes: dict[bytes, StepNode] = {}
        self.uses = 0
        self._trees = Trees(estimator, self.identifier, tuple(folds.fit_params))
        self._choices: dict[tuple[int, bytes], LeafChoice] = {}
        self._prefixes: dict[tuple, tuple] = {}
        self._below: dict[tuple[bytes, ...], tuple[StepNode, ...]] = {}
        self._pairwise: dict[int, bool] = {}
        self._names: dict[int, bytes] = {}
        self._seed_frame = b"seed" + seed.to_bytes(16, "little", signed=True)

    # -- candidates ----------------------------------------------------------------------------------

    def leaf(self, params: Mapping[str, Any], fold: int) -> Leaf:
        """The fit and scores of one candidate on one fold."""
        return self.place(self.resolve(params), fold)

    def place(self, resolved: tuple[Step, dict[int, LeafChoice]], fold: int) -> Leaf:
        """The fit and scores of a resolved candidate on one fold."""
        return self._leaf(*resolved, fold)

    def resolve(self, params: Mapping[str, Any]) -> tuple[Step, dict[int, LeafChoice]]:
        """The candidate's tree of steps and, by `id` of the opaque step, its choice of parameters."""
        tree, simple = self._trees.of(params)
        by_leaf: dict[int, dict[str, Any]] = {}
        for leaf, tail, value in simple:
            by_leaf.setdefault(id(leaf), {})[tail] = value
        choices = {}
        for leaf in tree.leaves():
            choices[id(leaf)] = self._choice(leaf, by_leaf.get(id(leaf), {}))
        return tree, choices

    def _choice(self, leaf: LeafStep, overrides: dict[str, Any]) -> LeafChoice:
        if not overrides:
            key = (id(leaf), b"")
        else:
            frames = [
                (n, self.identifier.frame(v, f"{leaf.path}__{n}")) for n, v in sorted(overrides.items())
            ]
            key = (id(leaf), b"".join(n.encode() + f for n, f in frames))
        known = self._choices.get(key)
        if known is None:
            known = self._choices[key] = leaf.configured(overrides)
        return known

    def sibling(self, node: StepNode, changed: Mapping[str, Any]) -> StepNode:
        """The node of the same last fit on the same rows with some of the step's own parameters changed."""
        choice = self._choice(node.choice.step, {**node.choice.overrides, **changed})
        return self._node(node.role, choice, node.inputs, {}, node.side)

    # -- nodes ---------------------------------------------------------------------------------------

    def rows(self, fold: int, side: str, pairwise: bool = False) -> StepNode:
        """The node of a fold's rows; nothing is run for it."""
        key = self.folds.train[fold] if side == TRAIN else self.folds.test[fold]
        key = step_key("pairwise rows", b"", (key,)) if pairwise else key
        known = self.nodes.get(key)
        if known is None:
            known = self.nodes[key] = StepNode(key, "rows", None, (), fold, side, pairwise=pairwise)
        return known

    def takes_pairs(self, tree: Step | None, choices: dict[int, LeafChoice]) -> bool:
        """Whether the candidate takes a kernel or distance matrix; the first step of a chain decides."""
        while isinstance(tree, ChainStep):
            tree = tree.children[0][1]
        if not isinstance(tree, LeafStep):
            return False
        choice = choices[id(tree)]
        if id(choice) not in self._pairwise:
            self._pairwise[id(choice)] = choice.pairwise()
        return self._pairwise[id(choice)]

    def _leaf(self, tree: Step, choices: dict[int, LeafChoice], fold: int) -> Leaf:
        through = ends_in_leaf(tree) and (self.through or isinstance(tree, LeafStep))
        fitted, shown = self._fit_root(tree, choices, fold, through)
        final = fitted.final
        scores, keys = [], []
        for side in self.sides:
            seen = ((final,) if through else tuple(fitted.nodes())) + (shown[side],)
            # A scorer that is shown the whole may ask for its steps by name.
            extras = self.folds.score_params + (b"" if through else self._names_of(tree))
            base = step_key("score", b"", tuple(node.key for node in seen), extras)
            node = StepNode(base, "score", final.choice if final else None, seen, fold, side)
            scores.append((side, node))
            keys += [step_key("metric", metric, (base,)).hex() for metric in self.metrics.values()]
        self.uses += len(scores)
        needs = (*(final.inputs if final else ()), *shown.values())
        prefix = self._prefix_nodes(final, needs)
        return Leaf(bytes.fromhex(keys[0]), fitted, tuple(scores), tuple(keys), fold, prefix, through, final)

    def _names_of(self, tree: Step) -> bytes:
        if id(tree) not in self._names:
            self._names[id(tree)] = encode(sorted(tree.prototype.get_params(deep=True)))
        return self._names[id(tree)]

    def _prefix_nodes(self, final: StepNode | None, needs: tuple[StepNode, ...]) -> tuple[StepNode, ...]:
        memo = tuple(node.key for node in needs)
        known = self._below.get(memo)
        if known is None:
            seen: dict[bytes, StepNode] = {}
            for need in needs:
                for node in need.ancestors():
                    if node.role != "rows" and node is not final:
                        seen[node.key] = node
            known = self._below[memo] = tuple(seen.values())
        return known

    def _fit_root(self, tree: Step, choices, fold: int, through: bool) -> tuple[Fitted, dict[str, StepNode]]:
        """The fitted tree and, by side, what the scorers are shown."""
        pairwise = self.takes_pairs(tree, choices)
        data = self.rows(fold, TRAIN, pairwise)
        shown = {side: self.rows(fold, side, pairwise) for side in self.sides}
        if not isinstance(tree, ChainStep):
            return self._fit(tree, choices, data, {}), shown
        prefix = tree.children[:-1]
        key = (
            id(tree),
            fold,
            pairwise,
            *(choices[id(x)].identity for _, s in prefix if s for x in s.leaves()),
        )
        known = self._prefixes.get(key)
        if known is None:
            twins: Twins = {}
            before, states = self.uses, []
            for _, child in prefix:
                state, data = self._fit_transform(child, choices, data, twins)
                states.append(state)
                if state is not None and through:
                    shown = {side: self._transform(state, node) for side, node in shown.items()}
            known = self._prefixes[key] = (tuple(states), data, shown, self.uses - before)
        else:
            self.uses += known[3]
        states, data, shown, _ = known
        return self._fit_last(tree, choices, (states, data, shown), through)

    def _fit_last(self, tree: ChainStep, choices, known, through: bool) -> tuple[Fitted, dict[str, StepNode]]:
        states, data, shown = known
        final = tree.children[-1][1]
        last: Any = self._fit(final, choices, data, {}) if final is not None else None
        fitted = Fitted(tree, None, (*states, last))
        while through and last is not None and isinstance(last.step, ChainStep):
            for child in last.children[:-1]:
                if child is not None:
                    shown = {side: self._transform(child, node) for side, node in shown.items()}
            last = last.children[-1]
        return fitted, shown

    def _fit(self, step: Step, choices, data: StepNode, twins: Twins) -> Fitted:
        """`step` fitted on `data`, without its output."""
        if isinstance(step, ChainStep):
            states = []
            for _, child in step.children[:-1]:
                state, data = self._fit_transform(child, choices, data, twins)
                states.append(state)
            final = step.children[-1][1]
            states.append(self._fit(final, choices, data, twins) if final is not None else None)
            return Fitted(step, None, tuple(states))
        if isinstance(step, UnionStep):
            return self._fit_transform(step, choices, data, twins)[0]
        return Fitted(step, self._node("fit", choices[id(step)], (data,), twins))

    def _fit_transform(self, step: Step | None, choices, data: StepNode, twins: Twins):
        """(`step` fitted on `data`, its output there); (None, data) for a passthrough."""
        if step is None:
            return None, data
        if isinstance(step, ChainStep):
            states = []
            for _, child in step.children:
                state, data = self._fit_transform(child, choices, data, twins)
                states.append(state)
            return Fitted(step, None, tuple(states)), data
        if isinstance(step, UnionStep):
            return self._fit_union(step, choices, data, twins)
        node = self._node("fit_transform", choices[id(step)], (data,), twins)
        return Fitted(step, node), node

    def _fit_union(self, union: UnionStep, choices, data: StepNode, twins: Twins):
        states, outputs, picks = [], [], []
        for (_, branch), selector in zip(union.branches, union.selectors, strict=True):
            source, pick = data, None
            if selector is not None:
                source = pick = self._node("fit_transform", self._choice(selector, {}), (data,), twins)
            state, output = self._fit_transform(branch, choices, source, twins)
            picks.append(pick)
            states.append(state)
            outputs.append(output)
        node = self._node("merge", self._choice(union.merge, {}), (data, *outputs), twins)
        return Fitted(union, node, tuple(states), tuple(picks)), node

    def _transform(self, fitted: Fitted, data: StepNode) -> StepNode:
        """What `fitted` makes of `data`."""
        if isinstance(fitted.step, ChainStep):
            for child in fitted.children:
                data = data if child is None else self._transform(child, data)
            return data
        if isinstance(fitted.step, UnionStep):
            outputs = []
            for child, pick in zip(fitted.children, fitted.selectors, strict=True):
                source = (
                    data
                    if pick is None
                    else self._node("transform", pick.choice, (pick, data), {}, data.side)
                )
                outputs.append(self._transform(child, source))
            inputs = (fitted.node, data, *outputs)
            return self._node("merge_transform", fitted.node.choice, inputs, {}, data.side)
        return self._node("transform", fitted.node.choice, (fitted.node, data), {}, data.side)

    def _node(
        self, role: str, choice: LeafChoice, inputs: tuple[StepNode, ...], twins: Twins, side: str = TRAIN
    ) -> StepNode:
        extras, ordinal = self.context, 0
        if role in FITTING:
            extras += self.folds.target
            if choice.seeded:
                twin = (choice.identity, inputs[0].key)
                ordinal = twins[twin] = twins.get(twin, -1) + 1
                extras += self._seed_frame + ordinal.to_bytes(4, "little")
            if choice.step.routed:
                extras += self._routed_frame(choice.step)
        key = step_key(role, choice.identity, tuple(node.key for node in inputs), extras)
        self.uses += 1
        known = self.nodes.get(key)
        if known is None:
            fold = inputs[0].fold
            known = self.nodes[key] = StepNode(key, role, choice, inputs, fold, side, ordinal)
        return known

    def _routed_frame(self, step: LeafStep) -> bytes:
        return encode(
            [
                (method, name, self.folds.fit_params[source])
                for method, sources in sorted(step.routed.items())
                for name, source in sorted(sources.items())
            ]
        )
