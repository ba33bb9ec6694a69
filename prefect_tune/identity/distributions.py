"""Where code comes from: an installed distribution with a version, Python itself, or the user.

Rule 1: installed means that the file lies in the distribution's own site folder and the distribution is
not editable. A user's file that shadows an installed name is the user's.
Rule 2: a distribution built from a local folder or a repository keeps its version while its files change,
so the hashes of its RECORD join the version.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import json
import os
import re
import sys
import sysconfig
from functools import lru_cache
from types import ModuleType
from typing import Any

from prefect_tune.identity.encode import hexdigest

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_NUMERIC = ("numpy", "scipy", "scikit-learn")

Home = tuple[str, str, str]


@lru_cache(maxsize=1)
def environment_versions() -> dict[str, str]:
    """Versions that belong into every key: Python major.minor and the numeric packages, patch level too.

    A package that is not installed is listed as an empty text.
    """
    versions = {"python": PYTHON}
    for name in _NUMERIC:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


@lru_cache(maxsize=1)
def owners() -> dict[str, list[str]]:
    """Distribution names by top-level module; one walk over all metadata.

    The same as `importlib.metadata.packages_distributions`, which reads every description as an e-mail and
    makes an object of every file: in each process that makes keys, half a second.
    """
    found: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        modules, name = _modules(distribution), _name(distribution)
        for module in modules:
            found.setdefault(module, set()).add(name)
    return {module: sorted(names) for module, names in found.items()}


def _name(distribution: importlib.metadata.Distribution) -> str:
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    stated = re.search(r"^Name: *(\S+) *$", text, re.MULTILINE)
    return stated[1] if stated else distribution.metadata["Name"]


def _modules(distribution: importlib.metadata.Distribution) -> set[str]:
    """Top-level modules that it says are its own, or else that its list of files has."""
    if declared := (distribution.read_text("top_level.txt") or "").split():
        return set(declared)
    record = distribution.read_text("RECORD")
    if record is None:
        paths = [str(file) for file in distribution.files or ()]
    else:
        paths = [line.lstrip('"').partition(",")[0] for line in record.splitlines()]
    tops = {path.partition("/")[0] if "/" in path else inspect.getmodulename(path) for path in paths}
    return {top for top in tops if top and "." not in top and top != "__pycache__"}


@lru_cache(maxsize=512)
def _distribution(name: str) -> tuple[str, str] | None:
    """The site folder and the version of a distribution, or None if it is editable."""
    distribution = importlib.metadata.distribution(name)
    version, origin = distribution.version, distribution.read_text("direct_url.json")
    if origin is not None:
        if json.loads(origin).get("dir_info", {}).get("editable", False):
            return None
        version += "+record." + _record_digest(distribution)
    return os.path.realpath(str(distribution.locate_file(""))), version


def _record_digest(distribution: importlib.metadata.Distribution) -> str:
    record = distribution.read_text("RECORD") or ""
    return hexdigest("record/v1", sorted(row for row in record.splitlines() if "sha256=" in row))[:16]


def _is_stdlib(top: str, file: str | None) -> bool:
    if top not in sys.stdlib_module_names:
        return False
    if file is None:
        return True
    roots = {os.path.realpath(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib")}
    return "site-packages" not in file and any(file.startswith(root + os.sep) for root in roots)


@lru_cache(maxsize=8192)
def home_of_file(name: str, file: str | None) -> Home | None:
    """`(kind, name, version)` of the owner of a module by name and file, or None for user code."""
    top = name.partition(".")[0]
    if top == "__main__" or not top:
        return None
    file = None if file is None else os.path.realpath(file)
    if _is_stdlib(top, file):
        return ("dist", "python", PYTHON)
    if file is None:
        return None
    found = []
    for owner in owners().get(top, ()):
        place = _distribution(owner)
        if place is None:
            return None
        if file.startswith(place[0] + os.sep):
            found.append((owner, place[1]))
    if not found:
        return None
    # A namespace package has several owners; all their versions count.
    return ("dist", "+".join(name for name, _ in found), "+".join(version for _, version in found))


def module_file(module: ModuleType) -> str | None:
    """The file a loaded module came from; a namespace package answers with its first folder."""
    file = getattr(module, "__file__", None)
    if file is None and getattr(module, "__path__", None):
        return os.path.join(next(iter(module.__path__)), "__init__.py")
    return file


def home_of(name: str | None) -> Home | None:
    """The owner of a loaded module, or None for user code and modules that are not loaded."""
    if not name:
        return None
    module = sys.modules.get(name)
    if not isinstance(module, ModuleType):
        return None
    file = module_file(module)
    if file is None and name not in sys.builtin_module_names and not _is_compiled_in(module):
        return None
    return home_of_file(name, file)


def _is_compiled_in(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.origin in ("built-in", "frozen")


def lookup(module: str | None, qualname: str) -> Any:
    """The object at that place in a loaded module, or None."""
    found: Any = sys.modules.get(module or "")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found
