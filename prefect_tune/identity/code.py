"""Identity of classes and functions: their distribution and version, or a digest of all they reach.

Rule 1: installed and not editable: ("dist", distribution, version, module, qualname).
Rule 2: defined in a session, in a user's file or in an editable install: ("source", module, qualname,
closure). Files go by every user module their imports reach, `__main__` by the live objects.
Rule 3: `cache_version` on a class or function replaces the closure by the user's promise. It is not
inherited: a subclass may hold other code.
Rule 4: identities of user code are computed anew at each call, since the globals it uses may have changed.
Within `session()` each is computed once: use it around one planning pass.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.closure import closure_digest
from prefect_tune.identity.distributions import environment_versions, home_of, lookup
from prefect_tune.identity.encode import encode
from prefect_tune.identity.modules import module_closure

_installed: weakref.WeakKeyDictionary[type, tuple] = weakref.WeakKeyDictionary()
Memo = dict[int, tuple[Any, tuple]]
"""id of a class or function -> (that object, so that the id stays its own; its identity)."""
_session: ContextVar[Memo | None] = ContextVar("identity_session", default=None)
_open: ContextVar[tuple[int, ...]] = ContextVar("identity_open", default=())


@contextmanager
def session(memo: Memo | None = None) -> Iterator[None]:
    """A span in which the user's code is taken as unchanged, so each identity is computed once.

    Args:
        memo: the identities known already; takes in those that are computed. None: a new one.
    """
    token = _session.set({} if memo is None else memo)
    try:
        yield
    finally:
        _session.reset(token)


def class_identity(cls: type) -> tuple:
    """An encodable tuple that names a class and the version of its code.

    Raises `Uncacheable` for classes made inside an installed function, and for user code that reaches
    something without an encoding.
    """
    known = _installed.get(cls)
    if known is not None:
        return known
    home = home_of(cls.__module__)
    if home is None:
        return _user_identity(cls)
    if lookup(cls.__module__, cls.__qualname__) is not cls and not _is_builtin(cls):
        raise Uncacheable(cls.__qualname__, "a class made at run time by an installed package")
    identity = (*home, cls.__module__, cls.__qualname__)
    _installed[cls] = identity
    return identity


def _is_builtin(cls: type) -> bool:
    """Whether it is one of the interpreter's types that its module does not list, such as `function`."""
    return cls.__module__ == "builtins" and not cls.__flags__ & (1 << 9)


def callable_identity(function: Any) -> tuple:
    """An encodable tuple that names a function, method or class and the version of its code.

    Raises `Uncacheable` for lambdas of installed packages and for callables of unknown kind.
    """
    if isinstance(function, type):
        return class_identity(function)
    if isinstance(function, types.FunctionType):
        return _function_identity(function)
    if isinstance(function, types.MethodType):
        return ("method", callable_identity(function.__func__), ("self", encode(function.__self__)))
    if isinstance(function, functools._lru_cache_wrapper):
        inner = callable_identity(function.__wrapped__)
        return ("lru_cache", inner, tuple(sorted(function.cache_parameters().items())))
    return _compiled_identity(function)


def _function_identity(function: types.FunctionType) -> tuple:
    module, qualname = function.__module__, function.__qualname__
    defined_in = function.__globals__.get("__name__")
    if lookup(module, qualname) is function:
        home = home_of(module)
        if home is not None and home_of(defined_in) is not None:
            return (*home, module, qualname)
    home = home_of(defined_in)
    if home is None:
        return _user_identity(function)
    if function.__code__.co_name == "<lambda>":
        raise Uncacheable(f"{defined_in}.{qualname}", "a lambda inside an installed package")
    return (*home, defined_in, local_form(function, encode))


def local_form(function: types.FunctionType, content: Callable[[Any], Any]) -> tuple:
    """A function made by an installed one, such as a decorator's wrapper, by place and content.

    `content` gives what stands for the values it closes over.
    """
    code = function.__code__
    cells = [content(cell.cell_contents) for cell in function.__closure__ or ()]
    defaults = [content(value) for value in function.__defaults__ or ()]
    keywords = [(n, content(v)) for n, v in sorted((function.__kwdefaults__ or {}).items())]
    return ("local", code.co_qualname, code.co_firstlineno, cells, defaults, keywords)


def installed_home(function: types.FunctionType) -> tuple | None:
    """The owner of the package in which a function that no module lists was made, or None."""
    # A wrapper in __main__ is listed there in the driver but not in a worker: only what an installed module
    # lists counts as listed, so that both see the same.
    listed = lookup(function.__module__, function.__qualname__) is function
    if listed and home_of(function.__module__) is not None:
        return None
    return home_of(function.__globals__.get("__name__"))


def _compiled_identity(function: Any) -> tuple:
    """A function written in C: found again by its name, or by its class and name for methods."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    owner = getattr(function, "__objclass__", None)
    module = owner.__module__ if owner is not None else getattr(function, "__module__", None)
    own = getattr(function, "__self__", None)
    if own is not None and not isinstance(own, (types.ModuleType, type)):
        return ("method", class_identity(type(own)), str(name), ("self", encode(own)))
    home = home_of(module)
    if home is None or name is None or lookup(module, name) is not function:
        raise Uncacheable(
            str(name or type(function).__qualname__), "a callable that its module does not hold"
        )
    return (*home, module, name)


def is_session_code(value: Any) -> bool:
    """Whether a class or function was defined in `__main__` or in a module without a file of its own."""
    if isinstance(value, types.FunctionType):
        if lookup(value.__module__, value.__qualname__) is value and home_of(value.__module__) is not None:
            return False
        module = value.__globals__.get("__name__")
    else:
        module = value.__module__
    return home_of(module) is None and not _has_file(module)


def _has_file(module: str | None) -> bool:
    return module != "__main__" and getattr(sys.modules.get(module or ""), "__file__", None) is not None


def _user_identity(target: Any) -> tuple:
    memo = _session.get()
    known = memo.get(id(target)) if memo is not None else None
    if known is not None:
        return known[1]
    opened = _open.get()
    if id(target) in opened:
        # A global of this code holds an instance of the class that is being digested already.
        return ("open", target.__qualname__, opened.index(id(target)))
    token = _open.set((*opened, id(target)))
    try:
        identity = _fresh_identity(target)
    finally:
        _open.reset(token)
    if memo is not None and not opened:
        memo[id(target)] = (target, identity)
    return identity


def _fresh_identity(target: Any) -> tuple:
    is_class = isinstance(target, type)
    module = target.__module__ if is_class else target.__globals__.get("__name__")
    qualname = target.__qualname__
    promise = vars(target).get("cache_version")
    if promise is not None:
        return ("promise", module or "", qualname, str(promise))
    path = f"{module}.{qualname}"
    if is_session_code(target):
        return ("source", module or "", qualname, closure_digest(target, path))
    return ("source", module or "", qualname, module_closure(module), *_own_form(target, path))


def _own_form(target: Any, path: str) -> tuple:
    """What the file of a user's module does not tell: which of its nested functions this is, with what.

    Empty for classes and functions that the module holds under their name.
    """
    module = target.__module__ if isinstance(target, type) else target.__globals__.get("__name__")
    if lookup(module, target.__qualname__) is target:
        return ()
    return (closure_digest(target, path),)


__all__ = ["callable_identity", "class_identity", "environment_versions", "is_session_code", "session"]
