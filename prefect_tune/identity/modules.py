"""The closure of a user's module: every user module that its imports reach, and what else they name.

Rule 1: files are read and parsed, never imported: identity runs no user code.
Rule 2: a module that was edited after it was imported has no identity, for the file no longer says what
this process runs.
Rule 3: an imported name that is not found is recorded as missing, so that installing it counts.
"""

from __future__ import annotations

import ast
import importlib.machinery
import inspect
import operator
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.distributions import home_of_file
from prefect_tune.identity.encode import hexdigest
from prefect_tune.identity.source import compiled, dump, object_form

_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_checked: dict[str, tuple[str, tuple[CodeType, ...]]] = {}


def module_closure(name: str) -> str:
    """64 hex digits: the digest of all user modules that a loaded or importable module reaches."""
    seen: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen[current], targets = _module_form(current)
        waiting += [target for target in targets if target not in seen]
    # What a file names but nobody has is kept; positions and order of discovery are not.
    return hexdigest("modules/v1", sorted((key, *form) for key, form in seen.items()))


def _module_form(name: str) -> tuple[tuple[str, str], list[str]]:
    """What identifies one module, and the modules it imports if it is the user's."""
    found, file = _locate(name)
    if not found:
        return ("missing", ""), []
    home = home_of_file(name, file)
    if home is not None:
        return ("dist", f"{home[1]}=={home[2]}"), []
    if file is None or not os.path.isfile(file):
        return ("namespace", ""), []
    if file.endswith(_COMPILED):
        return ("binary", _file_digest(file)), []
    text = _read(file)
    found_code = compiled(text, file)
    if found_code is None:
        raise Uncacheable(name, f"{os.path.basename(file)} is no Python source")
    tree, codes = found_code
    check_loaded(name, text, codes)
    is_package = os.path.basename(file) == "__init__.py"
    return ("source", _tree_digest(text, file)), sorted(_imports(tree, name, is_package))


@lru_cache(maxsize=512)
def _tree_digest(text: str, file: str) -> str:
    found = compiled(text, file)
    return hexdigest("module-ast/v1", *_chunks(dump(found[0]) if found else text))


def _chunks(text: str) -> list[str]:
    """The text in parts below the size limit of one encoded value."""
    return [text[i : i + 1_000_000] for i in range(0, len(text), 1_000_000)]


def _read(file: str) -> str:
    import tokenize

    with tokenize.open(file) as stream:
        return stream.read()


def _file_digest(file: str) -> str:
    from blake3 import blake3

    return blake3().update_mmap(file).hexdigest()


def _locate(name: str) -> tuple[bool, str | None]:
    """Whether a module exists, and its file; found without importing anything."""
    module = sys.modules.get(name)
    if isinstance(module, ModuleType):
        return True, getattr(module, "__file__", None)
    parent, _, _ = name.rpartition(".")
    search = None
    if parent:
        search = _folders(parent)
        if not search:
            return False, None
    spec = _find_spec(name, search)
    if spec is None:
        return False, None
    return True, spec.origin if spec.has_location else None


def _folders(package: str) -> list[str]:
    """The folders in which a package's submodules are looked for; empty if it is none."""
    module = sys.modules.get(package)
    if isinstance(module, ModuleType):
        return list(getattr(module, "__path__", ()))
    parent, _, _ = package.rpartition(".")
    search = _folders(parent) if parent else None
    if parent and not search:
        return []
    spec = _find_spec(package, search)
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def _find_spec(name: str, search: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, search)
        except (AttributeError, ImportError, KeyError, ValueError):
            continue  # KeyError: a finder of an editable install looks for the parent among loaded modules
        if spec is not None:
            return spec
    return None


def _imports(tree: ast.Module, name: str, is_package: bool) -> set[str]:
    """Absolute names of all modules a tree imports anywhere, with the packages around them."""
    package = name if is_package else name.rpartition(".")[0]
    found = set(_parents(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= {alias.name, *_parents(alias.name)}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found |= {base, *_parents(base)}
            found |= {f"{base}.{alias.name}" for alias in node.names if _is_submodule(base, alias.name)}
    return {target for target in found if target and target != name}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def _is_submodule(base: str, name: str) -> bool:
    found, file = _locate(base)
    # Installed packages count as a whole; only the user's own are looked into.
    return found and home_of_file(base, file) is None and name != "*" and _locate(f"{base}.{name}")[0]


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def check_loaded(name: str, text: str, codes: tuple[CodeType, ...]) -> None:
    """Raises `Uncacheable` if the loaded functions of a module are not those in its file."""
    module = sys.modules.get(name)
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    # Import hooks (pytest's, type checkers') rewrite code on loading; only the plain loader is comparable.
    if module is None or type(loader) is not importlib.machinery.SourceFileLoader:
        return
    functions = [f for f in _functions_of(module) if f.__code__.co_filename == module.__file__]
    last_text, last_codes = _checked.get(name, ("", ()))
    loaded = tuple(function.__code__ for function in functions)
    if last_text == text and len(last_codes) == len(loaded) and all(map(operator.is_, last_codes, loaded)):
        return
    forms: dict[str, list[tuple]] = {}
    for code in codes:
        forms.setdefault(code.co_name, []).append(object_form(code))
    for function, code in zip(functions, loaded, strict=True):
        if object_form(code) not in forms.get(code.co_name, ()):
            reason = f"{name} was edited after it was imported; reload it or start a new process"
            raise Uncacheable(f"{name}.{function.__qualname__}", reason)
    _checked[name] = (text, loaded)


def _functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that a module defines itself."""
    waiting = list(vars(module).values())
    done: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in done:
            continue
        done.add(id(value))
        if isinstance(value, type) and value.__module__ == module.__name__:
            waiting += list(vars(value).values())
        elif isinstance(value, property):
            waiting += [value.fget, value.fset, value.fdel]
        elif isinstance(value, (staticmethod, classmethod)):
            waiting.append(value.__func__)
        elif inspect.isfunction(value) and value.__globals__ is vars(module):
            yield value
