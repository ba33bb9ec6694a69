"""Which code the parameters of a flow may name: `{"class": "dotted.Name"}`, `"module:function"`.

Rule 1: in the user's own process a name is as good as an import, and nothing is refused. Within `only()`,
        where parameters come from a deployment or a saved block, a name must lie in an allowed module.
Rule 2: the name is judged before its module is imported, since importing runs code; what was found is judged
        again by the module that defines it, since modules show what they import (`sklearn.base.np`).
Rule 3: of the modules allowed from the start only classes and scipy's distributions are called. Functions,
        and clusters, whose arguments can hold code, come from modules that somebody added to the list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from prefect_tune.errors import NotAllowed

BUILT_IN = ("sklearn", "scipy.stats", "numpy", "prefect_tune")
"""Modules whose classes parameters may always name."""

NEVER = (
    "numpy.memmap",  # opens any file, for writing too
    "numpy.ctypeslib",
    "numpy.f2py",
    "numpy.lib",
    "numpy.testing",
    "sklearn.conftest",
    "sklearn.externals",
    # They make functions from text.
    "scipy.stats.rv_continuous",
    "scipy.stats.rv_discrete",
    "scipy.stats._distn_infrastructure.rv_generic",
    "scipy.stats._distn_infrastructure.rv_continuous",
    "scipy.stats._distn_infrastructure.rv_discrete",
    "prefect_tune.blocks",
    "prefect_tune.store",
    "prefect_tune.tasks",
    "prefect_tune.testing",
)
"""Exceptions to the modules above: no estimators, splitters or scorers, and they touch files or run text."""

SETTING = "PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES"

_added: ContextVar[tuple[str, ...] | None] = ContextVar("prefect_tune_allowed", default=None)


@contextlib.contextmanager
def only(added: Iterable[str] = ()) -> Iterator[None]:
    """A context in which names outside the allowed modules are refused; inside another, both lists count.

    Args:
        added: modules, with all below them, besides `BUILT_IN`.
    """
    token = _added.set((*(_added.get() or ()), *added))
    try:
        yield
    finally:
        _added.reset(token)


def in_force() -> bool:
    """Whether names are judged here."""
    return _added.get() is not None


def check_name(name: str, place: str) -> None:
    """Returns if the class called `name` may be imported.

    Raises:
        NotAllowed: its module is not in the list.
    """
    added = _added.get()
    if added is None or _within(name, added):
        return
    private = any(part.startswith("_") for part in name.split("."))
    if private or not _within(name, BUILT_IN) or _within(name, NEVER):
        raise _refusal(name, place, _module(name), "is not in an allowed module")


def check_kind(kind: Any, name: str, place: str) -> None:
    """Returns if what was found under `name` may be called to build a value.

    Raises:
        NotAllowed: it is no class or distribution, or was defined in a module that is not in the list.
    """
    added = _added.get()
    if added is None:
        return
    if not isinstance(kind, type):
        if _is_distribution(kind):
            return
        raise _refusal(name, place, _module(name), f"is a {type(kind).__name__}, not a class", setting=False)
    home = f"{kind.__module__}.{kind.__qualname__}"
    if not _within(home, added) and (not _within(home, BUILT_IN) or _within(home, NEVER)):
        raise _refusal(name, place, kind.__module__, f"is defined as {home}, outside the allowed modules")


def check_added(name: str, place: str) -> None:
    """Returns if `name`, of a function or a cluster, lies in a module that was added to the list.

    Raises:
        NotAllowed: it does not.
    """
    added = _added.get()
    if added is not None and not _within(name, added):
        raise _refusal(name, place, _module(name), "is not in a module that was allowed for it")


def check_function(found: Any, name: str, place: str) -> None:
    """Returns if what was found under `name` is a function or class of a module that was added.

    Raises:
        NotAllowed: it is something else, or comes from elsewhere.
    """
    added = _added.get()
    if added is None:
        return
    home = (
        f"{getattr(found, '__module__', None) or type(found).__module__}.{getattr(found, '__qualname__', '')}"
    )
    if not _within(home, added):
        raise _refusal(name, place, home.split(".")[0], f"is defined as {home}, outside the allowed modules")


def _within(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _is_distribution(found: Any) -> bool:
    """Whether it is a distribution of scipy, such as `scipy.stats.loguniform`: calling it freezes it."""
    from scipy.stats import rv_continuous, rv_discrete

    return isinstance(found, rv_continuous | rv_discrete) and type(found).__module__.startswith(
        "scipy.stats."
    )


def _module(name: str) -> str:
    return name.split(".")[0]


def _refusal(name: str, place: str, module: str, why: str, *, setting: bool = True) -> NotAllowed:
    allowed = dict.fromkeys((*BUILT_IN, *(_added.get() or ())))
    move = f"add {module!r} to {SETTING}" if setting else "name a class"
    return NotAllowed(place, name, why, allowed, move)
