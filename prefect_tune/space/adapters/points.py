"""Points by hyperopt's labels, made configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect_tune.errors import did_you_mean
from prefect_tune.identity.encode import plain
from prefect_tune.space.adapters.walk import labelled_space
from prefect_tune.space.domain import MISSING
from prefect_tune.space.faults import Fault, raise_any
from prefect_tune.space.tree import SearchSpace


def from_labels(written: Any, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The configurations; see `hyperopt_points`."""
    ours, labels = labelled_space(written)
    space, by_path, faults = SearchSpace(ours), labels.by_path(), list[Fault]()
    configs = []
    for number, point in enumerate(points):
        values, found = _values(space, by_path, {label: _single(value) for label, value in point.items()})
        faults += [fault.below(f"points[{number}]") for fault in found]
        configs.append(values if found else space.assemble(values))
    raise_any(faults, "points")
    return configs


def _values(
    space: SearchSpace, by_path: Mapping[str, str], point: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    """The values of active leaves by path, and what is wrong with the point."""
    values: dict[str, Any] = {}
    faults, unused = [], {label for label, value in point.items() if value is not MISSING}
    for leaf in space.leaves:
        if not leaf.active(values):
            continue
        label = by_path.get(leaf.path)
        unused.discard(label or "")
        given = MISSING if label is None else point.get(label, MISSING)
        cast = leaf.domain.default() if given is MISSING else leaf.domain.cast(given)
        if cast is MISSING:
            rule = f"a value must lie in {leaf.domain!r}, categories by index"
            faults.append(Fault(str(label), rule, given, "choose one inside"))
        values[leaf.path] = cast
    known = sorted(set(by_path.values()))
    for label in sorted(unused):
        rule = "this label belongs to another branch" if label in known else "there is no such label"
        hint = "" if label in known else did_you_mean(label, known)
        faults.append(Fault(label, rule, point[label], f"the labels are {', '.join(known)}", hint))
    return values, faults


def _single(value: Any) -> Any:
    """The value; of a list of one its member, of an empty one nothing."""
    value = plain(value)
    if isinstance(value, list):
        return value[0] if len(value) == 1 else (value if value else MISSING)
    return value
