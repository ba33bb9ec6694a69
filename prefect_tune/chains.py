"""Training chains: the keys of a candidate's training, one link per unit of resource.

Rule 1: a chain starts from what the candidate is (class, parameters, seed), without budget, bracket or rung.
Each link adds what one call of `partial_fit` is given. So brackets, searches with a larger budget and
searches with more data share whatever training they have in common.
Rule 2: the chain of a fold depends on the rows of that fold and on nothing else: a new chunk at the end of
the data changes no link before the call that reads it.
Rule 3: a pipeline's steps before the last are fitted once per split on a sample of the training rows; every
candidate with those steps reads the same transformed chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.graph import Compiler, Twins
from prefect_tune.identity.encode import encode
from prefect_tune.identity.keys import step_key
from prefect_tune.nodes import TEST, TRAIN, Fitted, StepNode
from prefect_tune.steps import ChainStep, LeafChoice, LeafStep, Step

CALLS, EPOCHS, SAMPLES = "partial_fit", "epochs", "n_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What more of costs more and tells more.

    Attributes:
        name: `partial_fit` (one call, on one chunk), `epochs` (one pass over all chunks), `n_samples` (rows
            of an ordinary fit), or the path of an integer parameter such as `clf__n_estimators`.
        warm: whether a fit with more of a parameter may go on from the fit with less.
    """

    name: str = CALLS
    warm: bool = False

    @property
    def by_calls(self) -> bool:
        """Whether training is a sequence of `partial_fit` calls."""
        return self.name in (CALLS, EPOCHS)

    @property
    def parameter(self) -> str:
        """The parameter that grows; empty for the other kinds."""
        return "" if self.by_calls or self.name == SAMPLES else self.name

    @property
    def unit(self) -> str:
        """What one unit is called in tables and run names."""
        return {CALLS: "call", EPOCHS: "epoch", SAMPLES: "row"}.get(self.name, self.name.split("__")[-1])


class Parts:
    """What the chains must know of the data: which chunk each call is given, and how rows are numbered.

    Args:
        counts: per split the number of chunks; several splits are folds.
        order: (split, number of calls) -> the chunk of each call. More calls give a longer list, never
            another.
        size: (split, chunk) -> number of training rows.
    """

    def __init__(
        self,
        counts: Sequence[int],
        order: Callable[[int, int], Sequence[int]],
        size: Callable[[int, int], int],
    ) -> None:
        self.counts, self._order, self._size = tuple(counts), order, size
        self._width = max(self.counts)
        self._drawn: dict[int, Sequence[int]] = {}

    def chunk_of(self, split: int, call: int) -> int:
        """The chunk that call number `call` (from 1) is given."""
        drawn = self._drawn.get(split, ())
        if call > len(drawn):
            drawn = self._drawn[split] = self._order(split, max(call, 2 * len(drawn), self._width))
        return drawn[call - 1]

    def calls_for(self, split: int, rows: int | None) -> range:
        """The first calls that are given so many rows together; those of one pass at most, and for None."""
        seen = 0
        for call in range(1, self.counts[split] + 1):
            seen += self._size(split, self.chunk_of(split, call))
            if rows is not None and seen >= rows:
                return range(1, call + 1)
        return range(1, self.counts[split] + 1)

    def fold(self, split: int, chunk: int) -> int:
        """The compiler's number of the training rows of one chunk."""
        return split * self._width + chunk

    def place(self, fold: int) -> tuple[int, int] | None:
        """(split, chunk) of such a number; None for a sample."""
        return divmod(fold, self._width) if fold < self.sample(0) else None

    def sample(self, split: int) -> int:
        """The compiler's number of the rows on which the first steps of a pipeline are fitted."""
        return len(self.counts) * self._width + split


class Chain:
    """One candidate's training on one split.

    Attributes:
        choice: the step that is trained, with the candidate's parameters.
        states: the steps before it, fitted; None stands for `passthrough`.
        start: key of the untrained step.
        validation: node of the rows that are scored, as the trained step takes them.
        raw: node of the same rows as the user gave them.
        through: whether scorers may be shown the trained step alone.
    """

    def __init__(
        self, compiler: ChainCompiler, split: int, choice: LeafChoice, states: tuple[Fitted | None, ...]
    ) -> None:
        self.compiler, self.split, self.choice, self.states = compiler, split, choice, states
        self.start = compiler.start_key(choice)
        steps, through = compiler.steps, compiler.through
        self.raw = steps.rows(split, TEST)
        self.validation = self.shown(self.raw)
        self.through = through
        self._links = [self.start]

    @property
    def name(self) -> tuple[bytes, bytes, int]:
        """What candidates with the same training on the same split have in common, however far it goes."""
        return self.start, self.node(1).key, self.split

    def shown(self, rows: StepNode) -> StepNode:
        """The node of `rows` as the trained step takes them."""
        for state in self.states:
            if state is not None:
                rows = self.compiler.steps._transform(state, rows)
        return rows

    def node(self, call: int) -> StepNode:
        """The rows that call number `call` (from 1) is given."""
        return self.chunk(self.compiler.parts.chunk_of(self.split, call))

    def chunk(self, chunk: int) -> StepNode:
        """The training rows of one chunk as the trained step takes them."""
        return self.compiler.chunk_rows(self, self.compiler.parts.fold(self.split, chunk))

    def calls(self, level: int) -> int:
        """Number of `partial_fit` calls that `level` units of the resource are."""
        return level * (
            self.compiler.parts.counts[self.split] if self.compiler.resource.name == EPOCHS else 1
        )

    def link(self, call: int) -> bytes:
        """The key of the state after `call` calls."""
        links = self._links
        while len(links) <= call:
            links.append(step_key("partial_fit", b"", (links[-1], self.node(len(links)).key)))
        return links[call]

    def key(self, path: Sequence[int]) -> bytes:
        """The key of the trained state after the levels of `path`, ascending; the last one is where it is.

        Only a parameter that grows warm depends on the levels in between.
        """
        resource, level = self.compiler.resource, path[-1]
        if resource.by_calls:
            return self.link(self.calls(level))
        samples = level if resource.name == SAMPLES else None
        rows = [self.node(call).key for call in self.compiler.parts.calls_for(self.split, samples)]
        if samples is not None:
            return step_key("sample fit", encode(level), (self.start, *rows))
        if not resource.warm:
            path = path[-1:]
        key = self.start
        for level in path:
            key = step_key("grown", encode([resource.parameter, level]), (key, *rows))
        return key

    def score_base(self, path: Sequence[int]) -> bytes:
        """What the keys of the scores after `path` have in common."""
        seen = self.validation.key if self.through else self.raw.key
        states = () if self.through else tuple(n.key for s in self.states if s is not None for n in s.nodes())
        extras = self.compiler.score_extras + (b"" if self.through else b"whole")
        return step_key("chain score", b"", (self.key(path), *states, seen), extras)

    def score_keys(self, path: Sequence[int]) -> tuple[str, ...]:
        """Keys of the scores after `path`, metric by metric, as hex."""
        base = self.score_base(path)
        return tuple(step_key("metric", m, (base,)).hex() for m in self.compiler.steps.metrics.values())


class ChainCompiler:
    """Turns candidates into chains; equal training has equal keys.

    Args:
        steps: the compiler of the nodes before the trained step.
        parts: chunks and order.
        resource: what a unit is.
        constants: frame of the arguments that every call gets, such as `classes`.
        score_extras: frame of whatever else reaches the scorers.
    """

    def __init__(
        self,
        steps: Compiler,
        parts: Parts,
        resource: Resource,
        *,
        constants: bytes = b"",
        score_extras: bytes = b"",
    ) -> None:
        self.steps, self.parts, self.resource = steps, parts, resource
        self.constants, self.score_extras = constants, score_extras
        self.through = steps.through
        self._states: dict[tuple, tuple[Fitted | None, ...]] = {}
        self._rows: dict[tuple, StepNode] = {}

    def chain(self, params: Any, split: int) -> Chain:
        """The chain of a candidate on one split.

        Raises:
            UserError: the candidate's pipeline ends in no step that could be trained.
        """
        tree, choices = self.steps.resolve(params)
        before, last = _taken_apart(tree)
        return Chain(self, split, choices[id(last)], self._fitted(before, choices, split))

    def start_key(self, choice: LeafChoice) -> bytes:
        """The key of the untrained step."""
        steps = self.steps
        seed = steps._seed_frame if choice.seeded else b""
        domain = encode("partial_fit" if self.resource.by_calls else self.resource.name)
        return step_key("chain", choice.identity, (), steps.context + seed + domain + self.constants)

    def chunk_rows(self, chain: Chain, fold: int) -> StepNode:
        """The rows of a chunk behind the chain's first steps."""
        key = (id(chain.states), fold)
        if key not in self._rows:
            self._rows[key] = chain.shown(self.steps.rows(fold, TRAIN))
        return self._rows[key]

    def _fitted(self, before: tuple[Step | None, ...], choices: Any, split: int) -> tuple[Fitted | None, ...]:
        """The steps before the last, fitted on the sample of the split; one tuple for all that share them."""
        key = (split, *(choices[id(x)].identity for step in before if step for x in step.leaves()))
        key = (*key, *map(id, before))
        known = self._states.get(key)
        if known is None:
            data, states = self.steps.rows(self.parts.sample(split), TRAIN), []
            twins: Twins = {}
            for step in before:
                state, data = self.steps._fit_transform(step, choices, data, twins)
                states.append(state)
            known = self._states[key] = tuple(states)
        return known


def _taken_apart(tree: Step | None) -> tuple[tuple[Step | None, ...], LeafStep]:
    """(the steps before, the step that is trained) of a tree."""
    before: list[Step | None] = []
    while isinstance(tree, ChainStep):
        before += [step for _, step in tree.children[:-1]]
        tree = tree.children[-1][1]
    if not isinstance(tree, LeafStep):
        what = "passthrough" if tree is None else type(tree.prototype).__name__
        raise UserError(f"estimator: its last step is {what}, which cannot be trained in rounds.")
    return tuple(before), tree
