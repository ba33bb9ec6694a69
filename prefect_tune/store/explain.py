"""Why a key is what it is, and why two differ: read from the documents that searches leave in the store.

Rule 1: nothing read here is trusted more than any record: a damaged or foreign document is left out.
Rule 2: two keys are compared from the score upwards: what was asked, then the step that predicts, then the
steps before it, then the rows. The nearest difference comes first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from blake3 import blake3

from prefect_tune.store.records import Record
from prefect_tune.store.signals import MissingBlob

KIND = "search"
SCHEMA = 1
MAX_DOCUMENT = 1 << 30  # bytes, unpacked
FITTING = ("fit", "fit_transform", "merge", "training")


def short_digest(data: bytes) -> str:
    """Twelve hex digits that stand for `data`: enough to tell two values of one store apart."""
    return blake3(data).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two keys differ: where, and what it is on either side."""

    place: str
    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.place}: {self.left} against {self.right}"


@dataclass(frozen=True)
class Note:
    """What one run of a search left behind: its record, and the document on demand."""

    record: Record
    store: Any

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The document; an empty one if it cannot be read."""
        try:
            packed = self.store.load(self.record, "explanation")
            unpacker = zlib.decompressobj()
            found = orjson.loads(unpacker.decompress(bytes(packed), MAX_DOCUMENT))
        except (MissingBlob, ValueError, TypeError, zlib.error):
            return {}
        return found if isinstance(found, dict) and found.get("schema") == SCHEMA else {}

    @property
    def part(self) -> bool:
        """Whether it stands beside the document of its search, such as that of its model."""
        return self.record.values.get("part") is True

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.document.get("facts", {})

    @cached_property
    def places(self) -> dict[str, tuple[int, list[Any] | None]]:
        """Key -> (its node, its row among the scores if it has one)."""
        nodes = {row[0]: (at, None) for at, row in enumerate(self.document.get("nodes", ()))}
        scores = {row[0]: (row[2], row) for row in self.document.get("scores", ())}
        return {**nodes, **scores}

    def asked(self, key: str) -> Asked | None:
        """What that key stands for in this search; None if it is none of its keys."""
        found = self.places.get(key)
        return Asked(self, key, *found) if found is not None else None


@dataclass(frozen=True, slots=True)
class Asked:
    """A key in the search that used it.

    Attributes:
        node: position among the document's nodes.
        score: the row among the scores, for scores and what else hangs on a training.
    """

    note: Note
    key: str
    node: int
    score: list[Any] | None

    @property
    def title(self) -> str:
        """What the key stands for, in a few words."""
        row = self.note.document["nodes"][self.node]
        step = step_title(self.note, row)
        where = f"fold {row[4]}" if row[4] >= 0 else "all rows"
        if self.score is None:
            return f"{row[1]} of {step}, {where}"
        at = f" at {self.score[3]}" if self.score[3] is not None else ""
        return f"{self.score[1] or 'state'} of {step}{at}, {where}, {row[5]}"


def notes(store: Any, records: Iterator[Record]) -> list[Note]:
    """What searches left behind, newest first, parts last; of the documents of one run the newest."""
    found = [Note(record, store) for record in records if record.kind == KIND and record.outputs]
    newest: dict[str, Note] = {}
    for note in sorted(found, key=lambda note: (note.part, -note.record.created)):
        newest.setdefault(str(note.record.values.get("draft") or note.record.key), note)
    return list(newest.values())


def step_title(note: Note, row: list[Any]) -> str:
    """A node's step as `path (class)`."""
    stem = _stem(note, row)
    if stem is None:
        return "rows"
    return f"{stem['path'] or 'estimator'} ({stem['class'].rpartition('.')[2]})"


def _stem(note: Note, row: list[Any]) -> Mapping[str, Any] | None:
    return note.document["stems"][note.document["steps"][row[2]][0]] if row[2] >= 0 else None


def _params(note: Note, row: list[Any]) -> dict[str, list[str]]:
    """Parameter -> [text, digest] of a node's step: as declared, with the candidate's in their place."""
    stem, changed, _ = note.document["steps"][row[2]]
    return {**note.document["stems"][stem]["params"], **changed}


def chain_of(asked: Asked) -> list[dict[str, Any]]:
    """The nodes that a key rests on, nearest first: role, step, code, parameters the candidate set, key."""
    note, seen, lines = asked.note, set(), []
    queue = [asked.node]
    while queue:
        at = queue.pop(0)
        if at in seen:
            continue
        seen.add(at)
        row = note.document["nodes"][at]
        line: dict[str, Any] = {"role": row[1], "fold": row[4], "side": row[5], "key": row[0]}
        if (stem := _stem(note, row)) is not None:
            chosen = note.document["steps"][row[2]][1]
            line |= {"step": step_title(note, row), "code": stem["code"] or stem["header"]}
            line["params"] = {name: text for name, (text, _) in chosen.items()}
        lines.append(line)
        queue += reversed(row[3])
    return lines


def differences(left: Asked, right: Asked, limit: int = 20) -> list[Difference]:
    """In what two keys differ, nearest to the keys first; at most `limit`."""
    found: dict[Difference, None] = {}
    if left.score and right.score:
        for difference in _scores(left, right):
            found.setdefault(difference)
    walk = _Walk(left.note, right.note)
    for difference in walk.nodes(left.node, right.node):
        found.setdefault(difference)
        if len(found) >= limit:
            break
    return list(found)


def _scores(left: Asked, right: Asked) -> Iterator[Difference]:
    (_, one, _, level), (_, other, _, reached) = left.score or [], right.score or []
    if one != other:
        yield Difference("what it is", one or "state", other or "state")
    else:
        metrics = [asked.note.facts.get("metrics", {}).get(one) for asked in (left, right)]
        yield from _pair(f"metric {one}", *metrics)
    if level != reached:
        yield Difference("trained for", str(level), str(reached))


def search_differences(left: Note, right: Note) -> list[Difference]:
    """In what two searches differ as a whole, candidates aside: what makes all their keys differ."""
    return list(_Walk(left, right).facts(("data", "cv", "calls", "metrics", "seed", "versions", "config")))


class _Walk:
    """A walk up two chains of nodes at once."""

    def __init__(self, left: Note, right: Note) -> None:
        self.left, self.right = left, right
        self._seen: set[tuple[int, int]] = set()

    def nodes(self, one: int, other: int) -> Iterator[Difference]:
        queue = [(one, other)]
        while queue:
            pair = queue.pop(0)
            a, b = self.left.document["nodes"][pair[0]], self.right.document["nodes"][pair[1]]
            if a[0] == b[0] or pair in self._seen:
                continue
            self._seen.add(pair)
            yield from self._node(a, b)
            if len(a[3]) == len(b[3]):
                queue += zip(a[3], b[3], strict=True)

    def _node(self, a: list[Any], b: list[Any]) -> Iterator[Difference]:
        if a[2] < 0 and b[2] < 0:
            yield from self._rows(a, b)
            return
        names = step_title(self.left, a), step_title(self.right, b)
        if a[1] != b[1]:
            yield Difference("role", f"{a[1]} of {names[0]}", f"{b[1]} of {names[1]}")
        if a[5] != b[5]:
            yield Difference("scored on", f"{a[5]} rows", f"{b[5]} rows")
        if len(a[3]) != len(b[3]):
            yield Difference(f"inputs of {names[0]}", str(len(a[3])), str(len(b[3])))
        if a[2] >= 0 and b[2] >= 0:
            yield from self._step(a, b)
        if a[6] != b[6]:
            yield Difference(f"{names[0]}, among equal seeded steps", f"number {a[6]}", f"number {b[6]}")
        if a[1] != "score":
            yield from self.facts(("versions", "config"))
        if a[1] in FITTING:
            yield from self._fitting()

    def _step(self, a: list[Any], b: list[Any]) -> Iterator[Difference]:
        ours, theirs = _stem(self.left, a), _stem(self.right, b)
        assert ours is not None  # both have a step
        assert theirs is not None
        place = ours["path"] or "estimator"
        if ours["class"] != theirs["class"]:
            yield Difference(f"class of {place}", ours["class"], theirs["class"])
            return
        if ours["header"] != theirs["header"]:
            same = ours["code"] == theirs["code"]
            codes = [f"{s['code'] or 'code'} {s['header'] if same else ''}".strip() for s in (ours, theirs)]
            yield Difference(f"code of {place} ({ours['class']})", *codes)
        mine, others = _params(self.left, a), _params(self.right, b)
        for name in dict.fromkeys([*mine, *others]):
            prefix = f"{place}: parameter {name}" if ours["path"] else f"parameter {name}"
            yield from _pair(prefix, mine.get(name), others.get(name))
        seeded = self.left.document["steps"][a[2]][2] or self.right.document["steps"][b[2]][2]
        if seeded:
            yield from self.facts(("seed",))

    def _fitting(self) -> Iterator[Difference]:
        ours, theirs = self.left.facts.get("data", {}), self.right.facts.get("data", {})
        for name in dict.fromkeys([*ours, *theirs]):
            if name != "X":
                yield from _pair(f"data {name}", ours.get(name), theirs.get(name))
        yield from _pair(
            "arguments of each call", self.left.facts.get("calls"), self.right.facts.get("calls")
        )

    def _rows(self, a: list[Any], b: list[Any]) -> Iterator[Difference]:
        ours, theirs = self.left.facts, self.right.facts
        data = list(_pair("data X", ours["data"].get("X"), theirs["data"].get("X")))
        yield from data
        if (a[4], a[5]) != (b[4], b[5]):
            yield Difference("rows", f"fold {a[4]} ({a[5]})", f"fold {b[4]} ({b[5]})")
        elif not data or ours["cv"] != theirs["cv"]:
            yield from _pair("cv (which rows are in which fold)", ours["cv"], theirs["cv"])

    def facts(self, names: tuple[str, ...]) -> Iterator[Difference]:
        """Differences of what holds for the whole searches."""
        for name in names:
            ours, theirs = self.left.facts.get(name), self.right.facts.get(name)
            if name in ("data", "metrics", "versions", "config"):
                ours, theirs = ours or {}, theirs or {}
                for item in dict.fromkeys([*ours, *theirs]):
                    yield from _pair(f"{_WORDS.get(name, name)} {item}", ours.get(item), theirs.get(item))
            else:
                yield from _pair(_WORDS.get(name, name), ours, theirs)


_WORDS = {
    "versions": "version of",
    "config": "scikit-learn's setting",
    "metrics": "metric",
    "cv": "cv (which rows are in which fold)",
    "seed": "seed of the search",
    "calls": "arguments of each call",
}


def _pair(place: str, left: Any, right: Any) -> Iterator[Difference]:
    """A difference if the two values, or texts with their digests, differ."""
    if left == right:
        return
    texts = [_text(left), _text(right)]
    if texts[0] == texts[1]:  # only the digests tell them apart
        texts = [f"{text} ({value[1]})" for text, value in zip(texts, (left, right), strict=True)]
    yield Difference(place, *texts)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return str(value[0]) if isinstance(value, list) and value else str(value)
