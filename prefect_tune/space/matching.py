"""From a configuration, or a part of one, back to the values of its leaves.

Rule 1: nothing is rounded or clipped; what is outside its domain is a fault with path, value and domain.
Rule 2: options are given by value. The first option that fits is meant; if none fits, the faults are told of
the one that comes nearest: fewest wrong constants, then fewest faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefect_tune.errors import did_you_mean
from prefect_tune.identity.encode import plain
from prefect_tune.space.domain import MISSING
from prefect_tune.space.equality import find
from prefect_tune.space.faults import Fault, raise_any
from prefect_tune.space.nodes import Drawn, Fields, Held, Items, Late, Node, Pick, When, join


@dataclass(slots=True)
class Match:
    """What was read.

    Attributes:
        partial: keys may be missing.
        values: of leaves, by path; of choices the option's index.
        claims: (path, value) of derived values that were given.
        guarded: what a rule guards, and what was given for it, by path.
        faults: what is wrong.
        wrong_constants: how many of them are constants given another value.
    """

    partial: bool
    values: dict[str, Any] = field(default_factory=dict)
    claims: list[tuple[str, Any]] = field(default_factory=list)
    guarded: dict[str, tuple[When, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    wrong_constants: int = 0

    def read(self, node: Node, value: Any, path: str = "", elsewhere: dict[str, int] | None = None) -> None:
        """Takes in one node; `elsewhere` says which option of the same choice has a key."""
        if isinstance(node, When):
            self.guarded[path] = node, value
            if value is not MISSING:
                self.read(node.node, value, path, elsewhere)
        elif value is MISSING:
            if not self.partial:
                self._fault(path, "a value is missing", value, "give the whole configuration")
        elif isinstance(node, Fields):
            self._fields(node, value, path, elsewhere or {})
        elif isinstance(node, Items):
            self._items(node, value, path)
        elif isinstance(node, Pick):
            self._pick(node, value, path)
        elif isinstance(node, Drawn):
            cast = node.leaf.domain.cast(value)
            if cast is MISSING:
                self._fault(path, f"a value must lie in {node.leaf.domain!r}", value, "choose one inside")
            self.values[path] = cast
        elif isinstance(node, Late):
            self.claims.append((path, plain(value)))
        elif find(plain(value), (node.value,)) is None:
            self.wrong_constants += 1
            self._fault(path, f"this is the constant {node.value!r}", value, "leave the key out")

    def judge(self) -> None:
        """Faults for guarded keys that are there and must not be, or the other way round."""
        for path, (when, value) in sorted(self.guarded.items(), key=lambda entry: entry[1][0].rank):
            there = when.rule.holds(self.values)
            if there and value is MISSING:
                self._fault(path, "a value is missing", value, f"it is there where {when.rule}")
            elif not there and value is not MISSING:
                self.values.pop(path, None)
                self.misplaced(path)

    def misplaced(self, path: str) -> None:
        """A fault for a key that was given and whose rule does not hold."""
        when, value = self.guarded[path]
        self._fault(path, f"this key is there only where {when.rule}", value, "leave the key out")

    def _fault(self, path: str, rule: str, value: Any, advice: str, hint: str = "") -> None:
        self.faults.append(Fault(path or "the configuration", rule, value, advice, hint))

    def _fields(self, node: Fields, value: Any, path: str, elsewhere: dict[str, int]) -> None:
        if not isinstance(value, dict):
            self._fault(path, "this must be a dict", value, "give its keys and values")
            return
        known = dict(node.items)
        for key in value:
            if key in known:
                continue
            rule, hint = f"there is no key {key!r} here", did_you_mean(str(key), known)
            if key in elsewhere:
                rule = f"the key {key!r} belongs to option {elsewhere[key]}, which is not the one chosen"
                hint = ""
            self._fault(path, rule, value[key], f"the keys are {', '.join(known) or 'none'}", hint)
        for key, child in node.items:
            self.read(child, value.get(key, MISSING), join(path, key))

    def _items(self, node: Items, value: Any, path: str) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(node.nodes):
            self._fault(path, f"this must be a list of {len(node.nodes)} items", value, "give every item")
            return
        for index, (child, item) in enumerate(zip(node.nodes, value, strict=True)):
            self.read(child, item, join(path, index))

    def _pick(self, node: Pick, value: Any, path: str) -> None:
        constants = [option.value if isinstance(option, Held) else MISSING for option in node.options]
        index = find(plain(value), constants)
        if index is not None:
            self.values[path] = index
            return
        tried = []
        for index, option in enumerate(node.options):
            if not isinstance(option, Held):
                match = Match(self.partial)
                match.read(option, value, join(path, index), _keys_elsewhere(node, index))
                match.values[path] = index
                if not match.faults:
                    self._adopt(match)
                    return
                # A value of another form says nothing about this option.
                if isinstance(option, Pick) or isinstance(value, dict) == isinstance(option, Fields):
                    tried.append(match)
        if tried and isinstance(value, dict):
            self._adopt(min(tried, key=lambda match: (match.wrong_constants, len(match.faults))))
            return
        texts = [text for text in constants if isinstance(text, str)]
        hint = did_you_mean(value, texts) if isinstance(value, str) else ""
        rule = f"a value must be one of {node.domain!r}"
        self._fault(path, rule, value, "give an option by value", hint)

    def _adopt(self, match: Match) -> None:
        self.values.update(match.values)
        self.claims += match.claims
        self.guarded.update(match.guarded)
        self.faults += match.faults
        self.wrong_constants += match.wrong_constants


def matched(root: Node, config: Any) -> Match:
    """What a whole configuration says; SpaceFaults with everything that is wrong."""
    match = Match(partial=False)
    match.read(root, config)
    if not match.faults:
        match.judge()
    raise_any(match.faults, "the configuration")
    return match


def _keys_elsewhere(node: Pick, chosen: int) -> dict[str, int]:
    keys: dict[str, int] = {}
    for index, option in enumerate(node.options):
        if index != chosen and isinstance(option, Fields):
            for key, _ in option.items:
                keys.setdefault(key, index)
    return keys


def false_claims(claims: list[tuple[str, Any]], derived: dict[str, Any]) -> list[Fault]:
    """Faults of the derived values that were given and are not what their function makes."""
    faults = []
    for path, value in claims:
        if find(value, (derived.get(path),)) is None:
            rule = f"the derived value here is {derived.get(path)!r}"
            faults.append(Fault(path, rule, value, "leave the key out"))
    return faults
