"""hyperopt's spaces: trees made by `hp.*`, read without evaluating anything.

    hp.uniform, hp.loguniform     the latter's bounds are logarithms
    hp.quniform, hp.qloguniform   rounded and not clipped: up to half a step outside of the bounds
    hp.normal, hp.lognormal, hp.qnormal, hp.qlognormal
    hp.randint, hp.uniformint     upper bound excluded; included, the ends half as likely
    hp.choice, hp.pchoice         options may hold whatever a space may

`scope.int` around a step makes whole numbers. Other expressions (`hp.uniform(...) + 1`) are refused:
`derived` says them. A list stays a list; hyperopt would hand over a tuple.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from prefect_tune.identity.encode import plain
from prefect_tune.space.adapters.labels import Labels, Place
from prefect_tune.space.adapters.origin import is_a, library_of
from prefect_tune.space.categories import Choice
from prefect_tune.space.domain import Domain
from prefect_tune.space.faults import Fault, SpaceFaults
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.lattice import Lattice
from prefect_tune.space.normals import Normal
from prefect_tune.space.special import Constant
from prefect_tune.space.values import holds_leaf
from prefect_tune.space.weighted import shared_out

_ARGUMENTS = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "qloguniform": ("low", "high", "q"),
    "normal": ("mu", "sigma"),
    "lognormal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("low", "high"),
    "categorical": ("p",),
}


def named(written: Any) -> Any:
    """The space as a dict, where hyperopt allows something else: parts stand under their labels."""
    parts = written if type(written) in (list, tuple) else [written]
    if not parts or not all(library_of(part) == "hyperopt" for part in parts):
        return written
    labels = [_label_of(part) for part in parts]
    if type(written) not in (list, tuple) and (_is_dict(written) or _chooses_dicts(written)):
        return written
    if None in labels or len(set(labels)) < len(labels):
        rule = "every part of it must be an hp.* with a label of its own"
        raise SpaceFaults([Fault("the space", rule, labels, "put the parts into a dict")])
    return dict(zip(labels, parts, strict=True))


def read(node: Any, place: Place, labels: Labels) -> Any:
    """What a node of hyperopt's tree is in our words; other objects of hyperopt as they are.

    Raises:
        SpaceFaults: an expression that no type of ours equals.
    """
    if not is_a(node, "Apply"):
        return node
    if is_a(node, "Literal"):
        return plain(node.obj)
    if node.name == "dict":
        return _dict(node, place, labels)
    if node.name == "pos_args":
        members = [read(part, place.below(index), labels) for index, part in enumerate(node.pos_args)]
        # hyperopt keeps a tuple's length, and forgets a list's.
        kept = members if node.o_len is None else tuple(members)
        return kept if type(kept) is tuple or holds_leaf(kept) or place.chosen else Constant(kept)
    if node.name == "switch":
        return _switch(node, place, labels)
    return _leaf(node, place, labels)


def _is_dict(node: Any) -> bool:
    return is_a(node, "Apply") and node.name == "dict"


def _chooses_dicts(node: Any) -> bool:
    return is_a(node, "Apply") and node.name == "switch" and all(map(_is_dict, node.pos_args[1:]))


def _label_of(node: Any) -> str | None:
    found = node.pos_args[0] if is_a(node, "Apply") and node.name == "switch" else node
    param = _inner(found)[0]
    return None if param is None else _label(param)


def _label(param: Any) -> str:
    label = _bound(param, ("label", "obj"))["label"].obj
    return label.decode() if isinstance(label, bytes) else label


def _inner(node: Any) -> tuple[Any, bool]:
    """(the labelled node below casts, or None; whether one of the casts is to int)."""
    whole_numbers = False
    while is_a(node, "Apply") and node.name in ("int", "float") and len(node.pos_args) == 1:
        whole_numbers |= node.name == "int"
        node = node.pos_args[0]
    labelled = is_a(node, "Apply") and node.name == "hyperopt_param"
    return (node if labelled else None), whole_numbers


def _bound(node: Any, names: Sequence[str]) -> dict[str, Any]:
    return dict(zip(names, node.pos_args, strict=False)) | dict(node.named_args)


def _refuse(node: Any, place: Place, rule: str, advice: str) -> NoReturn:
    raise SpaceFaults([Fault("hyperopt", rule, node.name, advice)])


def _dict(node: Any, place: Place, labels: Labels) -> dict[Any, Any]:
    pairs = list(node.named_args)
    for items in node.pos_args:  # pairs of keys and values, where a key is no text
        pairs += [(read(pair.pos_args[0], place, labels), pair.pos_args[1]) for pair in items.pos_args]
    return {key: read(part, place.below(key), labels) for key, part in pairs}


def _switch(node: Any, place: Place, labels: Labels) -> Choice:
    index, options = node.pos_args[0], node.pos_args[1:]
    param, _ = _inner(index)
    law = None if param is None else _bound(param, ("label", "obj"))["obj"]
    weights = None
    if law is not None and law.name == "categorical":
        weights = _numbers(law, place)["p"]
    elif law is None or law.name != "randint" or _span(_numbers(law, place)) != (0, len(options) - 1):
        _refuse(node, place, "a switch must be one of hp.choice or hp.pchoice", "use one of them")
    labels.add(_label(param), place, law)
    return Choice(
        tuple(read(option, place.option(number), labels) for number, option in enumerate(options)), weights
    )


def _leaf(node: Any, place: Place, labels: Labels) -> Domain:
    param, whole_numbers = _inner(node)
    if param is None:
        _refuse(
            node,
            place,
            "an expression of random numbers cannot be read",
            "name the numbers in the space and compute with derived(lambda config: ...)",
        )
    law = _bound(param, ("label", "obj"))["obj"]
    if law.name not in _ARGUMENTS or law.name == "categorical":
        _refuse(law, place, "this distribution is none of hp.*", "use one of them")
    numbers = _numbers(law, place)
    labels.add(_label(param), place, law)
    if law.name == "randint":
        return Integer(*_span(numbers))
    return _whole(law.name, numbers, place) if whole_numbers else _domain(law.name, numbers)


def _numbers(law: Any, place: Place) -> dict[str, Any]:
    """The arguments of a distribution as Python values."""
    found = {}
    for name, node in _bound(law, _ARGUMENTS[law.name]).items():
        if name in ("rng", "size"):
            continue
        value = read(node, Place(), Labels())
        if holds_leaf(value):
            _refuse(law, place, f"{name} must be a number", "an argument cannot be random itself")
        value = value.held if isinstance(value, Constant) else value
        found[name] = tuple(value) if name == "p" else value
    return found


def _span(numbers: Mapping[str, Any]) -> tuple[int, int]:
    """Both ends, included, of hp.randint(low, high) or hp.randint(high)."""
    low, high = numbers["low"], numbers.get("high")
    return (0, low - 1) if high is None else (low, high - 1)


def _domain(name: str, numbers: Mapping[str, Any]) -> Domain:
    log, step = "log" in name, numbers.get("q")
    if "normal" in name:
        return Normal(numbers["mu"], numbers["sigma"], step, log)
    low, high = numbers["low"], numbers["high"]
    if log:
        low, high = math.exp(low), math.exp(high)
    return Float(low, high, step, log, clip=step is None)


def _whole(name: str, numbers: Mapping[str, Any], place: Place) -> Domain:
    """hp.uniformint, or scope.int around a distribution with a step."""
    step = numbers.get("q")
    if name not in ("quniform", "qloguniform") or step is None or step != int(step):
        rule = "scope.int must stand around hp.quniform or hp.qloguniform with a whole step"
        raise SpaceFaults([Fault("hyperopt", rule, name, "or use derived(lambda config: int(...))")])
    low, high = numbers["low"], numbers["high"]
    if name == "quniform" and step == 1 and low == int(low) and high == int(high):
        return Integer(low, high, rounding="half")
    base = _domain(name, numbers)
    assert isinstance(base, Float)
    first, last = (Lattice(float(step)).nearest(end) for end in (base.low, base.high))
    start, end = (math.log(base.low), math.log(base.high)) if base.log else (base.low, base.high)

    def below(x: float) -> float:
        return ((math.log(x) if base.log else x) - start) / (end - start)

    step = int(step)
    return shared_out(
        range(first * step, last * step + 1, step), below, lambda position: (first + position - 0.5) * step
    )


def hyperopt_points(space: Any, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Configurations for points that hyperopt would take: labels to values, categories by index.

    What a point leaves out gets its default. Values may stand in lists of one, or be empty lists, as in
    `trials.trials[0]["misc"]["vals"]`.

    Args:
        space: of hyperopt, or a dict with parts of it.
        points: as for hyperopt's points_to_evaluate, or as fmin returns its best one.

    Raises:
        SpaceError: with every label that the point's branches do not have, and every value outside.
    """
    from prefect_tune.space.adapters.points import from_labels  # needs SearchSpace, which needs this module

    return from_labels(space, points)
