"""From what the user writes to a tree: dicts, lists, leaves and constants, every fault collected.

Rule 1: a list or 1-d array without leaves is a choice of its items, as in scikit-learn. A list or tuple that
holds leaves is itself, item by item. Any other tuple is a constant.
Rule 2: inside an option of a choice a list without leaves is a value. `constant([...])` says so elsewhere.
Rule 3: a list of dicts in place of the space is a choice between them; it adds no key of its own.
Rule 4: what another library's space holds is made ours first, by `adapters`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.errors import SpaceError
from prefect_tune.identity.encode import plain
from prefect_tune.space.adapters import adapted_space
from prefect_tune.space.categories import Choice, Grid
from prefect_tune.space.domain import Domain
from prefect_tune.space.faults import Fault, SpaceFaults, raise_any
from prefect_tune.space.nodes import Drawn, Fields, Held, Items, Late, Leaf, Node, Pick, join
from prefect_tune.space.rules import Ruled
from prefect_tune.space.special import Constant, Derived, Distribution
from prefect_tune.space.values import holds_leaf, is_distribution, list_of

ROOT = "the space"
Conditions = tuple[tuple[str, int], ...]


def canonical(written: Any) -> Any:
    """The space with lists of values made choices and distributions made leaves; a fresh structure.

    Raises:
        SpaceFaults: all mistakes of form at once.
    """
    if isinstance(written, dict):
        dicts = [written]
    elif isinstance(written, (list, tuple)) and written and all(isinstance(part, dict) for part in written):
        dicts = list(written)
    elif isinstance(written, Choice) and all(isinstance(part, dict) for part in written.options):
        return written
    else:
        rule = "must be a dict of names and domains, or a list of such dicts"
        raise SpaceFaults([Fault(ROOT, rule, written, "write e.g. {'lr': loguniform(1e-4, 1)}")])
    faults: list[Fault] = []
    read = [_canonical(part, "", faults) for part in dicts]
    raise_any(faults)
    return read[0] if isinstance(written, dict) else Choice(tuple(read))


def _canonical(value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(value, Domain):
        return value
    if is_distribution(value):
        return Distribution(value)
    if isinstance(value, dict):
        return _canonical_dict(value, path, faults)
    if type(value) in (list, tuple) and holds_leaf(value):
        return type(value)(_canonical(item, join(path, i), faults) for i, item in enumerate(value))
    if isinstance(value, (list, range)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        try:
            return Choice(tuple(list_of(value) or ()))
        except SpaceFaults as error:
            faults += [fault.below(path) for fault in error.faults]
    return plain(value)


def _canonical_dict(value: dict, path: str, faults: list[Fault]) -> Any:
    keys = [plain(key) for key in value]
    foreign = [key for key in keys if not isinstance(key, str)]
    if foreign and path and not holds_leaf(value):
        return Constant(value)
    for key in foreign:
        faults.append(Fault(path or ROOT, "keys must be text", key, f"write {str(key)!r}, or constant(...)"))
    pairs = zip(keys, value.values(), strict=True)
    return {key: _canonical(item, join(path, key), faults) for key, item in pairs if isinstance(key, str)}


class Compiler:
    """Makes the tree of a canonical space and lists what is wrong with it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def compile(self, space: Any) -> Node:
        """The root of the tree.

        Raises:
            SpaceFaults: all mistakes at once.
        """
        root = self._node(space, "", (), option=False)
        raise_any(self.faults)
        return root

    def _fault(self, path: str, rule: str, value: Any, advice: str) -> Held:
        self.faults.append(Fault(path or ROOT, rule, value, advice))
        return Held(value)

    def _node(self, value: Any, path: str, conditions: Conditions, *, option: bool) -> Node:
        if is_distribution(value):
            value = Distribution(value)
        if isinstance(value, Domain):
            return self._leaf(value, path, conditions)
        if isinstance(value, dict) and (not option or holds_leaf(value)):
            return self._fields(value, path, conditions, option)
        if type(value) in (list, tuple) and holds_leaf(value):
            return self._items(value, path, conditions, option)
        return Held(plain(value))

    def _leaf(self, domain: Domain, path: str, conditions: Conditions) -> Node:
        if isinstance(domain, Constant):
            return Held(domain.held)
        if isinstance(domain, Derived):
            return Late(path, domain)
        if isinstance(domain, Grid) and conditions:
            return self._fault(
                path, "a grid must not depend on a choice", domain, "use choice([...]), or move it out"
            )
        leaf = Leaf(path, domain, conditions)
        if not isinstance(domain, Choice):
            return Drawn(leaf)
        # Beside options with leaves, dicts without any are read key by key, too: points may give a part.
        open_dicts = not path or any(isinstance(part, dict) and holds_leaf(part) for part in domain.options)
        nodes = []
        for index, part in enumerate(domain.options):
            if isinstance(part, Constant) and not holds_leaf(part.held):
                part = part.held
            place, inner = join(path, index), (*conditions, (path, index))
            if open_dicts and isinstance(part, dict) and all(isinstance(key, str) for key in part):
                nodes.append(self._fields(part, place, inner, option=True))
            else:
                nodes.append(self._node(part, place, inner, option=True))
        return Pick(leaf, tuple(nodes))

    def _fields(self, value: dict, path: str, conditions: Conditions, option: bool) -> Node:
        items = []
        for key, item in value.items():
            if isinstance(key, str):
                items.append((key, self._node(item, join(path, key), conditions, option=option)))
            else:
                self._fault(path, "keys must be text beside leaves", key, f"write {str(key)!r}")
        return Fields(tuple(sorted(items, key=lambda pair: pair[0])))

    def _items(self, value: list | tuple, path: str, conditions: Conditions, option: bool) -> Node:
        nodes = []
        for index, item in enumerate(value):
            place = join(path, index)
            if type(value) is tuple and _may_be_late(item):
                self._fault(place, "a derived value must not stand in a tuple", item, "use a list or a dict")
            else:
                nodes.append(self._node(item, place, conditions, option=option))
        return Items(type(value), tuple(nodes))


def _may_be_late(value: Any) -> bool:
    if isinstance(value, Choice):
        return any(map(_may_be_late, value.options))
    return isinstance(value, Derived)


def read(written: Any) -> tuple[Any, Node, Ruled | None]:
    """(the canonical space, its tree, its rules if it has any).

    Raises:
        SpaceError: anything that is no space, with all faults.
    """
    try:
        ours = adapted_space(written)
        ruled = ours if isinstance(ours, Ruled) else None
        space = canonical(ours if ruled is None else ruled.space)
        root = Compiler().compile(space)
        return space, root if ruled is None else ruled.guarded(root), ruled
    except RecursionError:
        raise SpaceError("the space: it contains itself, or is nested too deep; flatten it.") from None
