"""The readable JSON form of a space, for the UI's form, schedules and the command line.

Rule 1: a leaf is `{constructor: [arguments], option: value}`, e.g. `{"lr": {"loguniform": [0.0001, 1]}}`,
`{"choice": ["a", "b"], "weights": [1, 3]}`, `{"scipy": "expon", "kwargs": {"scale": 2.0}}`. Arguments may
also go by name: `{"uniform": {"low": 0, "high": 1}}`.
Rule 2: any other JSON value means what it means in Python: a bare list is a choice, or a value inside an
option; a dict is a nested dict, a number a constant.
Rule 3: what would be misread is escaped: `{"constant": value}`, and `{"nested": {...}}` for a nested dict
with a key that names a constructor. A dict with a key that is nearly one is refused, not guessed.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from prefect_tune.space import make
from prefect_tune.space.categories import Choice, Grid, Ordinal
from prefect_tune.space.domain import Domain
from prefect_tune.space.faults import Fault, SpaceFaults, raise_any
from prefect_tune.space.literal import TAGS, from_literal, to_literal
from prefect_tune.space.nodes import join
from prefect_tune.space.special import Constant, Derived, Distribution
from prefect_tune.space.values import holds_leaf, is_distribution

SUBJECT = "the form of the space"
_LISTS: dict[str, Callable[..., Domain]] = {
    "choice": make.choice,
    "ordinal": make.ordinal,
    "logordinal": make.logordinal,
    "grid": make.grid,
}
_NUMBERS: dict[str, Callable[..., Domain]] = {
    name: getattr(make, name)
    for name in (
        *("uniform", "loguniform", "reverseloguniform", "quniform", "qloguniform"),
        *("normal", "lognormal", "qnormal", "qlognormal", "truncnormal"),
        *("randint", "lograndint", "qrandint", "qlograndint", "finrange", "logfinrange", "weighted"),
    )
}
_ESCAPES = ("constant", "nested", "scipy", *TAGS)
KINDS = (*_NUMBERS, *_LISTS, *_ESCAPES)
_NEAR = 0.85


def kind_of(form: dict) -> str | None:
    """The constructor or escape that a dict names by one of its keys, or None."""
    return next((key for key in form if key in KINDS), None)


def _nearly(form: dict) -> str | None:
    """The constructor that a dict's only key nearly is, or None."""
    if len(form) != 1 or kind_of(form) is not None:
        return None
    (key, value), *_ = form.items()
    names = [*_NUMBERS, *_LISTS] if isinstance(value, list) else []
    return next(iter(difflib.get_close_matches(str(key), names, n=1, cutoff=_NEAR)), None)


# Writing


def to_form(domain: Domain) -> Any:
    """The form of one leaf; SpaceError if JSON cannot hold it."""
    writer = _Writer()
    form = writer.leaf(domain, "")
    raise_any(writer.faults, repr(domain))
    return form


def space_to_form(definition: Any) -> Any:
    """The form of a canonical space: a dict, or a list of dicts for a choice between whole dicts."""
    writer = _Writer()
    if isinstance(definition, Choice):
        form: Any = [
            writer.fields(part, join("", i), option=False) for i, part in enumerate(definition.options)
        ]
    else:
        form = writer.fields(definition, "", option=False)
    raise_any(writer.faults, SUBJECT)
    return form


class _Writer:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def _refuse(self, path: str, value: Any, advice: str) -> None:
        self.faults.append(Fault(path or "the leaf", "JSON cannot hold this", value, advice))

    def literal(self, value: Any, path: str) -> Any:
        try:
            return to_literal(value)
        except TypeError as error:
            self._refuse(path, error.args[0], "name it by a text, or pass the space as a Python object")

    def node(self, value: Any, path: str, *, option: bool) -> Any:
        if is_distribution(value):
            value = Distribution(value)
        if isinstance(value, Domain):
            return self.leaf(value, path)
        if isinstance(value, dict) and (not option or holds_leaf(value)):
            fields = self.fields(value, path, option=option)
            return {"nested": fields} if kind_of(fields) or _nearly(fields) else fields
        if holds_leaf(value):
            items = [self.node(item, join(path, i), option=option) for i, item in enumerate(value)]
            return items if type(value) is list else {"tuple": items}
        form = self.literal(value, path)
        inner = _dicts_in(form)
        # Inside an option a value is read as a form, too; only what that would change is escaped.
        escape = any(kind_of(part) not in (None, "tuple", "float") or _nearly(part) for part in inner)
        return {"constant": form} if escape else form

    def fields(self, value: dict, path: str, *, option: bool) -> dict[str, Any]:
        return {key: self.node(item, join(path, key), option=option) for key, item in value.items()}

    def leaf(self, domain: Domain, path: str) -> Any:
        if isinstance(domain, Constant):
            return {"constant": self.literal(domain.held, path)}
        if isinstance(domain, Derived):
            self._refuse(path, domain, "a derived value is a function; pass the space as a Python object")
            return None
        if isinstance(domain, Distribution):
            return self._law(domain, path)
        call = domain.call()
        args: Any = [list(arg) if isinstance(arg, tuple) else arg for arg in call.args]
        if isinstance(domain, Choice):
            args = [self.node(part, join(path, i), option=True) for i, part in enumerate(domain.options)]
        elif isinstance(domain, (Ordinal, Grid)):
            args = self.literal(list(domain.values), path)
        options = {name: list(v) if isinstance(v, tuple) else v for name, v in call.options.items()}
        return {call.name: args, **options}

    def _law(self, domain: Distribution, path: str) -> Any:
        import scipy.stats

        law = getattr(domain.law, "dist", None)
        name = getattr(law, "name", None)
        if law is None or type(getattr(scipy.stats, str(name), None)) is not type(law):
            self._refuse(path, domain.law, "use a frozen distribution of scipy.stats, or one of ours")
            return None
        form: dict[str, Any] = {"scipy": name}
        if domain.law.args:
            form["args"] = self.literal(list(domain.law.args), path)
        if domain.law.kwds:
            form["kwargs"] = self.literal(dict(domain.law.kwds), path)
        return form


def _dicts_in(form: Any) -> list[dict]:
    if isinstance(form, dict):
        return [form, *(part for value in form.values() for part in _dicts_in(value))]
    return [part for item in form for part in _dicts_in(item)] if isinstance(form, list) else []


# Reading


def space_from_form(form: Any) -> Any:
    """The definition that a form stands for; SpaceError with every mistake, by path."""
    reader = _Reader()
    if isinstance(form, list):
        definition: Any = [reader.fields(part, join("", i)) for i, part in enumerate(form)]
    else:
        definition = reader.fields(form, "")
    raise_any(reader.faults, SUBJECT)
    return definition


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def _fault(self, path: str, rule: str, value: Any, advice: str, hint: str = "") -> None:
        self.faults.append(Fault(path or SUBJECT, rule, value, advice, hint))

    def fields(self, form: Any, path: str) -> Any:
        if not isinstance(form, dict):
            self._fault(path, "this must be a dict", form, 'write e.g. {"lr": {"loguniform": [0.0001, 1]}}')
            return {}
        return {key: self.node(item, join(path, str(key))) for key, item in form.items()}

    def node(self, form: Any, path: str) -> Any:
        if isinstance(form, list):
            return [self.node(item, join(path, i)) for i, item in enumerate(form)]
        if not isinstance(form, dict):
            return form
        kind, near = kind_of(form), _nearly(form)
        if near:
            advice = 'write {"nested": {...}} if a nested dict is meant'
            self._fault(
                path, f"there is no type {next(iter(form))!r}", form, advice, f" Did you mean {near!r}?"
            )
            return None
        if kind is None:
            return self.fields(form, path)
        try:
            return self._leaf(kind, form, path)
        except SpaceFaults as error:
            self.faults += [fault.below(path) for fault in error.faults]
        except (TypeError, ValueError) as error:
            escape = '; or write {"nested": {...}} if a nested dict is meant'
            self._fault(path, f"{kind}: {error}", form, f"{_usage(kind)}{escape}")
        return None

    def _leaf(self, kind: str, form: dict, path: str) -> Any:
        value = form[kind]
        options = {key: item for key, item in form.items() if key != kind}
        if kind == "scipy":
            return _law_of(value, **options)
        if kind in _ESCAPES:
            if options:
                raise TypeError(f"it goes with no other key, got {', '.join(map(repr, options))}")
            if kind == "nested":
                return self.fields(value, path)
            if kind == "constant":
                return Constant(from_literal(value))
            if kind == "tuple":
                return tuple([self.node(item, join(path, i)) for i, item in enumerate(value)])
            held = from_literal(form)
            return Constant(held) if isinstance(held, dict) else held
        if kind in _LISTS:
            if not isinstance(value, list):
                raise TypeError("its values must be a list")
            each = self.node if kind == "choice" else lambda item, _: from_literal(item)
            members = [each(item, join(path, i)) for i, item in enumerate(value)]
            return _called(_LISTS[kind], [members], options)
        if isinstance(value, dict):
            return _called(_NUMBERS[kind], [], {**value, **options})
        if not isinstance(value, list):
            raise TypeError("its arguments must be a list")
        return _called(_NUMBERS[kind], value, options)


def _called(constructor: Callable[..., Domain], args: list[Any], options: dict[str, Any]) -> Domain:
    inspect.signature(constructor).bind(*args, **options)
    return constructor(*args, **options)


def _law_of(name: Any, args: Any = (), kwargs: Any = None) -> Distribution:
    import scipy.stats

    law = getattr(scipy.stats, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not isinstance(law, (scipy.stats.rv_continuous, scipy.stats.rv_discrete)):
        raise ValueError(f"scipy.stats has no distribution {name!r}")
    frozen = law(*from_literal(list(args)), **from_literal(dict(kwargs or {})))
    low, _ = frozen.support()
    if low != low:
        raise ValueError(f"scipy.stats.{name} does not take these arguments")
    return Distribution(frozen)


def _usage(kind: str) -> str:
    """How a constructor's form is written."""
    if kind in _NUMBERS:
        names = list(inspect.signature(_NUMBERS[kind]).parameters.values())
        args = ", ".join(name.name for name in names if name.kind is not name.KEYWORD_ONLY)
        return f'write {{"{kind}": [{args}]}}'
    if kind in _LISTS:
        return f'write {{"{kind}": [value, value]}}'
    if kind == "scipy":
        return 'write {"scipy": "expon", "kwargs": {"scale": 2}}'
    return f'write {{"{kind}": ...}} and nothing beside'
