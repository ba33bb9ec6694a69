"""The configurations that a search tries first: checked, filled, without duplicates.

Rule 1: whatever is wrong in any point is told before anything runs, by point, path, value and domain.
Rule 2: of two equal points the first stays; 1, 1.0 and True differ, nan equals nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect_tune.space.categories import Grid
from prefect_tune.space.domain import MISSING
from prefect_tune.space.equality import token
from prefect_tune.space.faults import Fault, SpaceFaults, raise_any
from prefect_tune.space.matching import Match, false_claims
from prefect_tune.space.nodes import Builder, Leaf, Node
from prefect_tune.trials import Config, generator

if TYPE_CHECKING:
    from prefect_tune.space.tree import SearchSpace

NAME = "points_to_evaluate"
FILLS = ("mid", "sample")


def points_of(
    space: SearchSpace, root: Node, points: Sequence[Config] | None, fill: str, seed: int
) -> list[dict[str, Any]]:
    """The filled configurations in their order; the arguments are those of `SearchSpace.points`."""
    if fill not in FILLS:
        raise SpaceFaults([Fault("fill", f"fill must be one of {FILLS}", fill, "leave it out for mid")])
    if points is None:
        only_grids = space.leaves and all(isinstance(leaf.domain, Grid) for leaf in space.leaves)
        points = [] if only_grids else [{}]
    if not isinstance(points, (list, tuple)):
        raise SpaceFaults([Fault(NAME, "it must be a list of dicts", points, "put the points into [...]")])
    matches = [_matched(root, point) for point in points]
    faults = [fault.below(f"{NAME}[{i}]") for i, match in enumerate(matches) for fault in match.faults]
    raise_any(faults, NAME)
    kept: dict[Any, dict[str, Any]] = {}
    for position, match in enumerate(matches):
        builder = Builder(_filler(space, match.values, fill, seed, len(kept)))
        config = builder.build(root)
        wrong = false_claims(match.claims, builder.derived)
        for path, (_, given) in match.guarded.items():
            if given is not MISSING and path in builder.absent:
                match.misplaced(path)
        wrong += match.faults + space.forbidden(config)
        faults += [fault.below(f"{NAME}[{position}]") for fault in wrong]
        kept.setdefault(token(config), config)
    raise_any(faults, NAME)
    return list(kept.values())


def _matched(root: Node, point: Any) -> Match:
    match = Match(partial=True)
    match.read(root, point)
    return match


def _filler(space: SearchSpace, values: dict[str, Any], fill: str, seed: int, index: int) -> Any:
    """Decides a leaf: as given, else in the middle, else as trial `index` would draw it."""
    grids = space.grid_point(index)

    def decide(leaf: Leaf) -> Any:
        if leaf.path in values:
            return values[leaf.path]
        if fill == "mid":
            return space.default_of(leaf)
        if leaf.path in grids:
            return grids[leaf.path]
        return leaf.domain.value(generator(seed, "config", index, leaf.path, 0).random())

    return decide
