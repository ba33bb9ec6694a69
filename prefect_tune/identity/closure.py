"""The closure digest of code defined in a session: all it reaches, by what is loaded, not by file.

Rule 1: functions, classes, globals, cells, defaults and decorators are followed through the live objects,
in an order of sorted names, each once; cycles become numbers.
Rule 2: what has no encoding is refused with its path. A logger counts by name.
Rule 3: code that can reach anything by name (`eval`, `exec`, `globals`, `__import__`) is refused.
"""

from __future__ import annotations

import builtins
import enum
import functools
import inspect
import logging
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.encode import encode, hexdigest
from prefect_tune.identity.source import code_form, global_names

_ESCAPES = frozenset({"eval", "exec", "globals", "__import__"})
# Set by the interpreter or by class machinery from things that are followed anyway; constraints of
# parameters and request methods only decide whether an error is raised.
_NOISE = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__module__",
        "__qualname__",
        "__doc__",
        "__annotations__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotate_func__",
        "__annotations_cache__",
        "__parameters__",
        "__orig_bases__",
        "__abstractmethods__",
        "_abc_impl",
        "__slotnames__",  # left by the first pickling of an instance
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__slots__",
        "_parameter_constraints",
        "_member_names_",
        "_member_map_",
        "_value2member_map_",
        "_unhashable_values_",
        "_hashable_values_",
        "_unhashable_values_map_",
        "_use_args_",
        "_member_type_",
        "_value_repr_",
        "_generate_next_value_",
        "_new_member_",
        "_boundary_",
        "_flag_mask_",
        "_singles_mask_",
        "_all_bits_",
        "_inverted_",
        "__new_member__",
    ]
)
_UNBOUND = ("unbound",)


def closure_digest(target: Any, path: str) -> str:
    """64 hex digits: the digest of a class or function and of all user code and constants it reaches."""
    return _Closure(path).digest(target)


class _Closure:
    """One walk over the code reachable from a class or function; an object is numbered when first met."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number: dict[int, int] = {}
        self.found: list[Any] = []

    def digest(self, target: Any) -> str:
        self._reference(target)
        forms, at = [], 0
        while at < len(self.found):
            value = self.found[at]
            forms.append(encode(self._class(value) if isinstance(value, type) else self._function(value)))
            at += 1
        return hexdigest("closure/v1", *forms)

    def _reference(self, value: Any) -> tuple:
        if id(value) not in self.number:
            self.number[id(value)] = len(self.found)
            self.found.append(value)
        return ("met", self.number[id(value)])

    def _function(self, function: FunctionType) -> tuple:
        code = function.__code__
        place = f"{self.path} → {function.__qualname__}"
        names = [(n, self._global(function, n, place)) for n in global_names(code)]
        cells = [
            (n, self._cell(cell, f"{place}, cell {n}"))
            for n, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        ]
        defaults = [self.token(v, f"{place}, default") for v in function.__defaults__ or ()]
        keywords = [
            (n, self.token(v, f"{place}, default {n}"))
            for n, v in sorted((function.__kwdefaults__ or {}).items())
        ]
        extra = [(n, self.token(v, f"{place}.{n}")) for n, v in sorted(vars(function).items())]
        form = code_form(code)
        return ("function", function.__qualname__, form, names, cells, defaults, keywords, extra)

    def _global(self, function: FunctionType, name: str, place: str) -> tuple:
        space = function.__globals__
        if name in space:
            return self.token(space[name], f"{place}, global {name}")
        if not hasattr(builtins, name):
            return _UNBOUND
        if name in _ESCAPES:
            raise Uncacheable(place, f"{name}() can reach anything; give it a cache_version")
        return ("builtin", name)

    def _cell(self, cell: CellType, place: str) -> tuple:
        try:
            return self.token(cell.cell_contents, place)
        except ValueError:
            return _UNBOUND

    def _class(self, cls: type) -> tuple:
        place = f"{self.path} → {cls.__qualname__}"
        members = [
            (name, self._member(cls, value, f"{place}.{name}"))
            for name, value in sorted(vars(cls).items())
            if name not in _NOISE and not _is_request_method(value)
        ]
        bases = [self.token(base, place) for base in cls.__bases__]
        names = list(vars(cls).get("__annotations__", ()))
        return ("class", cls.__qualname__, bases, self.token(type(cls), place), names, members)

    def _member(self, cls: type, value: Any, place: str) -> tuple:
        if isinstance(cls, enum.EnumMeta) and isinstance(value, cls):
            return ("member", self.token(value._value_, place))
        if inspect.ismemberdescriptor(value) or inspect.isgetsetdescriptor(value):
            return ("slot",)
        return self.token(value, place)

    def token(self, value: Any, place: str) -> tuple:
        """What stands for a value in the form of the code that refers to it."""
        from prefect_tune.identity import code  # which needs this module

        if isinstance(value, ModuleType):
            return _module_token(value)
        if isinstance(value, (type, FunctionType)):
            if code.is_session_code(value) and "cache_version" not in vars(value):
                return self._reference(value)
            if isinstance(value, type):
                return code.class_identity(value)
            home = code.installed_home(value)
            if home is not None and value.__code__.co_name != "<lambda>":
                return (*home, code.local_form(value, lambda held: self.token(held, place)))
            return code.callable_identity(value)
        if isinstance(value, logging.Logger):
            return ("logger", value.name)
        wrapped = self._unwrapped(value, place)
        if wrapped is not None:
            return wrapped
        if type(value) is MappingProxyType:
            value = dict(value)
        if type(value) in (list, tuple):
            return (type(value).__name__, *[self.token(v, f"{place}[{i}]") for i, v in enumerate(value)])
        if type(value) is dict:
            pairs = [(self.token(k, place), self.token(v, f"{place}[{k!r}]")) for k, v in value.items()]
            return ("dict", *pairs)
        return ("value", encode(value, place))

    def _unwrapped(self, value: Any, place: str) -> tuple | None:
        """The token of a descriptor or wrapper by the functions in it, or None if it is neither."""
        kind = type(value)
        parts: tuple | None = None
        if kind is property:
            parts = (value.fget, value.fset, value.fdel)
        elif kind in (staticmethod, classmethod):
            parts = (value.__func__,)
        elif kind is functools.cached_property:
            parts = (value.func,)
        elif kind in (functools.partial, functools.partialmethod):
            parts = (value.func, value.args, dict(sorted(value.keywords.items())))
        elif kind is functools._lru_cache_wrapper:
            parts = (value.__wrapped__, value.cache_parameters())
        if parts is None:
            return None
        return (kind.__name__, *[self.token(part, place) for part in parts])


def _is_request_method(value: Any) -> bool:
    """Whether this is scikit-learn's generated `set_fit_request` and the like."""
    kind = type(value)
    return (kind.__module__, kind.__qualname__) == ("sklearn.utils._metadata_requests", "RequestMethod")


def _module_token(module: ModuleType) -> tuple:
    from prefect_tune.identity.distributions import home_of
    from prefect_tune.identity.modules import module_closure

    home = home_of(module.__name__)
    if home is not None:
        return ("module", *home, module.__name__)
    if module.__name__ == "__main__":
        raise Uncacheable("__main__", "code that holds its own main module can reach anything")
    return ("module", module.__name__, module_closure(module.__name__))
