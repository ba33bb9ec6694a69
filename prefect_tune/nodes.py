"""Nodes of the graph of a search, and what the fitted estimator of a candidate is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.steps import ChainStep, Step

TRAIN, TEST = "train", "test"
FITTING = ("fit", "fit_transform", "merge")


@dataclass(eq=False, slots=True)
class StepNode:
    """A step with its parameters and inputs fixed: what is keyed, stored and run.

    Attributes:
        key: 32 bytes; equal key, equal result.
        role: `rows`, `fit_transform`, `transform`, `fit`, `merge`, `merge_transform` or `score`.
        choice: the step and its parameters; None for rows.
        inputs: the nodes whose results it consumes.
        fold: index of the fold it belongs to; -1 is all the data.
        side: `train` or `test`, for rows and scores.
        ordinal: distinguishes equal seeded siblings in one union.
        pairwise: whether rows are those of a kernel matrix, cut by columns too.
    """

    key: bytes
    role: str
    choice: Any  # LeafChoice; typed loosely, since only the role says that it is there
    inputs: tuple[StepNode, ...]
    fold: int
    side: str = TRAIN
    ordinal: int = 0
    pairwise: bool = False

    @property
    def family(self) -> str:
        """What the cost model groups by: class and role."""
        return f"{self.choice.step.family}.{self.role}" if self.choice else self.role

    def ancestors(self) -> Iterator[StepNode]:
        """This node and all it depends on, inputs first, each once."""
        seen: set[bytes] = set()

        def walk(node: StepNode) -> Iterator[StepNode]:
            if node.key in seen:
                return
            seen.add(node.key)
            for parent in node.inputs:
                yield from walk(parent)
            yield node

        return walk(self)


@dataclass(eq=False, slots=True)
class Fitted:
    """A fitted step, or tree of steps, as the nodes that fit it.

    Attributes:
        step: the step as declared for this candidate.
        node: the node whose state it is; None for a chain, which has no state of its own.
        children: the steps below; None stands for `passthrough`.
        selectors: the column picks of a union's branches.
    """

    step: Step
    node: Any  # StepNode | None, as the kind of step says
    children: tuple[Any, ...] = ()  # of Fitted | None
    selectors: tuple[StepNode | None, ...] = ()

    @property
    def last(self) -> Fitted:
        """The estimator that predicts: the last step of the innermost chain."""
        if isinstance(self.step, ChainStep) and self.children and self.children[-1] is not None:
            return self.children[-1].last
        return self

    @property
    def final(self) -> Any:
        """The node fitted last: that of the predicting step, or of the last step before a passthrough."""
        last = self.last.node
        if last is not None:
            return last
        return next(reversed(list(self.nodes())), None)

    def nodes(self) -> Iterator[StepNode]:
        """The nodes that hold the states, in order."""
        if self.node is not None:
            yield self.node
        for child in self.children:
            if child is not None:
                yield from child.nodes()


@dataclass(eq=False, slots=True)
class Leaf:
    """One fit with its scores: a candidate on a fold.

    Attributes:
        key: the key of the first score; distinct leaves have distinct keys.
        fitted: the nodes of the fitted estimator.
        scores: (side, node) of the score nodes; a node's key is completed by the metric. What the scorers
            are shown is its last input.
        score_keys: keys of all scores, side by side, metric by metric, as hex.
        fold: index of the fold.
        prefix: what it needs besides the predicting step, inputs first; one tuple for all leaves that have
            it in common.
        through: whether the scorers are shown the predicting step and transformed rows, in place of the whole
            estimator and the raw ones.
        final: the node that is fitted last; None when nothing is fitted at all.
        rows: candidates (positions in the list) that this leaf serves.
    """

    key: bytes
    fitted: Fitted
    scores: tuple[tuple[str, StepNode], ...]
    score_keys: tuple[str, ...]
    fold: int
    prefix: tuple[StepNode, ...]
    through: bool
    final: StepNode | None
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """The identity of the splits: what the compiler needs to know of the data.

    Attributes:
        target: digest of y.
        train, test: key of each fold's rows, by fold; `train[-1]` is the key of all rows.
        fit_params: name -> digest of the arrays routed to `fit`.
        score_params: frame of what is routed to the scorers.
    """

    target: bytes
    train: tuple[bytes, ...]
    test: tuple[bytes, ...]
    fit_params: Mapping[str, bytes] = field(default_factory=dict)
    score_params: bytes = b""
