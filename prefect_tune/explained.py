"""What the keys of a search are made of, as one small document: `prefect-tune store why` reads it back.

Rule 1: written for each run of a search, never with each record; the hot path writes what it did. A run that
writes again, since it knows more, leaves a newer document in place of the older (see `Note`).
Rule 2: names, short texts and digests only. Data and long values are digests; what is named like a secret is
not even shown as text.
Rule 3: it explains keys, it makes none: a search without its document runs and is reused all the same.

    facts     of the whole search: data, folds, metrics, seed, versions, configuration
    stems     steps as declared: path, class, code, parameters
    steps     a stem with a candidate's parameters
    nodes     key, role, step, inputs (positions in this list), fold, side, ordinal
    scores    key, metric, node, level
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from blake3 import blake3

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import encode as enc
from prefect_tune.identity.code import class_identity, environment_versions, session
from prefect_tune.nodes import StepNode
from prefect_tune.steps import LeafChoice
from prefect_tune.store import Record
from prefect_tune.store.explain import KIND, SCHEMA, short_digest
from prefect_tune.text import short

MOST = 200_000
"""Scores above which the document holds the facts of the search and no list of its keys."""
HIDDEN = ("password", "passwd", "secret", "token", "api_key", "apikey", "credential")


class Book:
    """A document in the making.

    Args:
        facts: of the whole search.
        frame: gives the frame of a parameter's value, from which its digest is made.
    """

    def __init__(self, facts: Mapping[str, Any], frame: Callable[[Any, str], bytes]) -> None:
        self.facts, self._frame = dict(facts), frame
        self.stems: list[dict[str, Any]] = []
        self.steps: list[list[Any]] = []
        self.nodes: list[list[Any]] = []
        self.scores: list[list[Any]] = []
        self._stems: dict[Any, int] = {}
        self._steps: dict[Any, int] = {}
        self._nodes: dict[bytes, int] = {}
        self._kept: list[Any] = []  # so that ids stay their own

    def node(self, node: StepNode) -> int:
        """Position of the node, which is entered with all it depends on."""
        if node.key not in self._nodes:
            inputs = [self.node(parent) for parent in node.inputs]
            step = self.step(node.choice) if node.choice is not None else -1
            self._enter(node.key, [node.role, step, inputs, node.fold, node.side, node.ordinal])
        return self._nodes[node.key]

    def trained(self, key: bytes, step: int, inputs: Sequence[int], fold: int) -> int:
        """Position of a training that several scores rest on."""
        if key not in self._nodes:
            self._enter(key, ["training", step, list(inputs), fold, "train", 0])
        return self._nodes[key]

    def _enter(self, key: bytes, row: list[Any]) -> None:
        self._nodes[key] = len(self.nodes)
        self.nodes.append([key.hex(), *row])

    def step(self, choice: LeafChoice) -> int:
        """Position of a step with a candidate's parameters."""
        if id(choice) not in self._steps:
            self._kept.append(choice)
            stem = self._stem(choice.step)
            self._steps[id(choice)] = self.configured(stem, choice.overrides, seeded=choice.seeded)
        return self._steps[id(choice)]

    def configured(self, stem: int, params: Mapping[str, Any], *, seeded: bool) -> int:
        """Position of a stem with these parameters."""
        told = {name: self._parameter(name, value) for name, value in params.items()}
        self.steps.append([stem, told, seeded])
        return len(self.steps) - 1

    def _stem(self, step: Any) -> int:
        if id(step) not in self._stems:
            self._kept.append(step)
            params = {name: self._parameter(name, step.parameters[name]) for name in step._frames}
            self._stems[id(step)] = self.stem(step.path, type(step.prototype), step._header, params)
        return self._stems[id(step)]

    def stem(self, path: str, kind: Any, header: bytes, params: Mapping[str, Any]) -> int:
        """Position of a step as declared.

        Args:
            kind: its class, or a text that names what it is.
            header: whatever tells its code from other code.
        """
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        code = "" if isinstance(kind, str) else code_of(kind)
        form = {"path": path, "class": name, "code": code, "header": short_digest(header)}
        self.stems.append({**form, "params": dict(params)})
        return len(self.stems) - 1

    def _parameter(self, name: str, value: Any) -> list[str]:
        hidden = any(word in name.lower() for word in HIDDEN)
        return ["(hidden)" if hidden else told(value), short_digest(self._frame(value, name))]

    def model(self, key: str, at: int) -> None:
        """Enters a fitted model; `at` is the position of what was fitted last."""
        self.scores.append([key, "model", at, None])

    def document(self) -> bytes:
        """The document, packed."""
        form = {name: getattr(self, name) for name in ("facts", "stems", "steps", "nodes", "scores")}
        return zlib.compress(orjson.dumps({"schema": SCHEMA, **form}), 1)


def told(value: Any) -> str:
    """A value as a short text that holds no data: type and shape in place of arrays.

    >>> told([1, 2]), told("l2"), told(np.zeros((2, 3)))
    ('[1, 2]', "'l2'", 'ndarray 2×3')
    """
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return short(repr(value))
    if isinstance(value, np.generic):
        return told(value.item())
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and not isinstance(value, type):
        return f"{type(value).__name__} {'×'.join(map(str, shape))}"
    if isinstance(value, (list, tuple)):
        few = len(value) <= 8 and all(
            item is None or isinstance(item, (bool, int, float, str)) for item in value
        )
        return short(repr(value)) if few else f"{type(value).__name__} of {len(value)}"
    named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}".lstrip(".")


def code_of(kind: type) -> str:
    """Where the code of a class comes from: a distribution with its version, or a digest of own code."""
    try:
        identity = class_identity(kind)
    except Uncacheable as error:
        return f"no identity: {short(error.reason)}"
    if identity[0] == "dist":
        return f"{identity[1]} {identity[2]}"
    if identity[0] == "promise":
        return f"cache_version {identity[3]!r}"
    return f"own code {short_digest(enc.encode(identity))}"


def search_book(compiled: Any) -> Book:
    """The document of a search on folds.

    Args:
        compiled: its `CompiledSearch`.
    """
    spec = compiled.spec
    book = Book(fold_facts(spec, compiled.compiler), spec.identifier.frame)
    with session(spec.identifier._code):
        for leaf in compiled.leaves.values() if len(compiled.leaves) <= MOST else ():
            enter_leaf(book, leaf, list(spec.metrics))
    return book


def model_book(compiled: Any, row: int, key: str) -> Book:
    """The document of a search's best model alone; that of the search is there already.

    Args:
        compiled: its `CompiledSearch`.
        row: the candidate that was fitted on all rows.
        key: of the model.
    """
    spec, compiler = compiled.spec, compiled.compiler
    book = Book(fold_facts(spec, compiler), spec.identifier.frame)
    with session(spec.identifier._code):
        enter_model(book, compiler, compiler.leaf(spec.candidates[row], -1), key)
    return book


def fold_facts(spec: Any, compiler: Any) -> dict[str, Any]:
    """The facts of a search on folds."""
    refs = {"X": spec.X, "y": spec.y, **{n: param.ref for n, param in spec.fit_params.items()}}
    return {
        "name": spec.name,
        "what": "folds",
        "candidates": len(spec.candidates),
        "folds": spec.n_splits,
        "seed": spec.seed,
        "data": {name: [ref.kind, ref.identity[:12]] for name, ref in refs.items() if ref is not None},
        "cv": [f"{spec.n_splits} folds", spec.splits.identity[:12]],
        **_surroundings(spec, compiler.metrics),
    }


def enter_leaf(book: Book, leaf: Any, metrics: list[str]) -> None:
    """Enters a candidate on a fold: its scores, and all they rest on."""
    keys = iter(leaf.score_keys)
    for _, node in leaf.scores:
        at = book.node(node)
        book.scores += [[next(keys), metric, at, None] for metric in metrics]


def enter_model(book: Book, compiler: Any, leaf: Any, key: str) -> None:
    """Enters a model that was fitted on all rows: `leaf` is its candidate on fold -1."""
    for node in leaf.fitted.nodes():
        book.node(node)
    book.model(key, book.node(leaf.final or compiler.rows(-1, "train")))


def training_book(spec: Any, reached: Mapping[tuple[int, int], Sequence[Sequence[int]]], chain: Any) -> Book:
    """The document of a search in rounds.

    Args:
        spec: its `TrainingSpec`.
        reached: (row, split) -> the paths of levels at which it was scored; none, if it was not yet.
        chain: (row, split) -> its `Chain`.
    """
    chunks = [chunk.identity for chunk in spec.data.chunks]
    scored = [spec.validation_key(split) for split in range(spec.n_splits)]
    compiler = spec.compiler()
    facts = {
        "name": spec.name,
        "what": f"rounds of {spec.resource.name}",
        "candidates": len(spec.candidates),
        "folds": spec.n_splits,
        "seed": spec.seed,
        "data": {"X": [f"{len(chunks)} chunks", short_digest("".join(chunks).encode())]},
        "cv": [f"{spec.n_splits} splits", short_digest(b"".join(scored))],
        "calls": [told(sorted(spec.constants)), short_digest(spec.chains().constants)],
        **_surroundings(spec, compiler.metrics),
    }
    book = Book(facts, spec.identifier.frame)
    with session(spec.identifier._code):
        for (row, split), paths in reached.items() if len(reached) <= MOST else ():
            one = chain(row, split)
            at = enter_chain(book, one, split)
            for path in paths:
                keys = zip(one.score_keys(path), spec.metrics, strict=True)
                book.scores += [[key, metric, at, path[-1]] for key, metric in keys]
                book.scores.append([one.key(path).hex(), "", at, path[-1]])
            book.scores.append([one.start.hex(), "", at, 0])
    return book


def enter_chain(book: Book, one: Any, fold: int) -> int:
    """Position of the training of a candidate on a split, with the rows it begins with; -1 is all rows."""
    inputs = [book.node(one.node(1)), book.node(one.validation)]
    name = enc.digest("training-note/v1", one.start, one.node(1).key, one.validation.key)
    return book.trained(name, book.step(one.choice), inputs, fold)


def _surroundings(spec: Any, metrics: Mapping[str, bytes]) -> dict[str, Any]:
    """What holds for every step of a search."""
    scorers = spec.scorer if isinstance(spec.scorer, dict) else {"score": spec.scorer}
    return {
        "metrics": {name: [_scorer_text(scorers.get(name)), short_digest(d)] for name, d in metrics.items()},
        "versions": environment_versions(),
        "config": {name: told(value) for name, value in sorted(spec.config.items()) if name in _SHAPING},
        "context": short_digest(spec.context),
        "private": sorted({place for place, _ in spec.uncacheable()}),
    }


_SHAPING = ("transform_output", "enable_metadata_routing", "array_api_dispatch", "sparse_interface")


def _scorer_text(scorer: Any) -> str:
    """A scorer in words: scikit-learn's own say what they are, others give their name."""
    own = type(scorer).__module__ == "sklearn.metrics._scorer"
    return short(repr(scorer), 100) if own else told(scorer)


def leave(
    book: Book, store: Any, scope: str, flow_run: str, *, draft: str = "", part: bool = False
) -> Record:
    """The record under which the document now lies in the store.

    Args:
        flow_run: id of the flow run; equal documents lie there once.
        draft: what all documents share of which the newest takes the place of the others; empty: none does.
        part: whether it stands beside the document of its search, and is none by itself.
    """
    packed = book.document()
    facts = book.facts
    values = {name: facts[name] for name in ("name", "what", "candidates", "folds", "seed")}
    key = enc.digest("search-note/v1", flow_run, blake3(packed).digest(), time.time()).hex()
    record = Record(
        key=key,
        kind=KIND,
        family=str(facts["name"]),
        values={
            **values,
            "scope": scope,
            "flow_run": flow_run,
            "scores": len(book.scores),
            **({"draft": draft} if draft else {}),
            **({"part": True} if part else {}),
        },
    )
    return store.put(record, {"explanation": np.frombuffer(packed, dtype=np.uint8)}, scope)
