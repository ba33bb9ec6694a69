"""Who may import whom, read from the source and compared with the tables below.

Rule: there is no list of exceptions. An import that breaks the table moves, or the table changes in a commit
of its own, with its reason. A new module of the core must first be given its place in ORDER.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import prefect_tune

ROOT = Path(__file__).resolve().parents[1]

# The core from left to right: a module imports what stands in a line above its own, or its own package.
ORDER = (
    ("_version", "errors", "constraints", "text"),
    ("identity",),
    ("store", "trials"),
    ("space", "data", "routing", "identifier", "allowed"),
    ("chunks",),
    ("samplers", "schedules", "request", "draws", "arguments", "model"),
    ("tuning",),
    ("races",),
    ("history",),
    ("steps", "growing"),
    ("structure", "nodes"),
    ("graph",),
    ("chains",),
    ("search",),
    ("training",),
    ("plan",),
    ("explained",),
    ("explained_trials",),
    ("batches", "rounds"),
    ("dry_run",),
    ("results",),
    ("table", "halving_result"),
    ("halving_models",),
    ("halving_search",),
    ("report",),
    ("testing",),
)

BASIC = {"numpy", "scipy", "blake3", "orjson", "sortedcontainers"}  # orjson: records; sortedcontainers: rungs
PREFECT = {"prefect", "prefect_dask", "pydantic"}  # pydantic: Prefect's own way to declare fields
DASK = {"dask", "distributed"}
LAZY = {"pandas", "pyarrow", "sklearn", "optuna", "matplotlib", "PIL", "cloudpickle", "obstore"}
HELPERS = {"threadpoolctl", "cloudpickle", "psutil", "rich", "httpx", "uvicorn", "anyio"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one part of the project may import: anywhere, and only inside functions."""

    anywhere: set[str]
    in_functions: set[str]


# Beyond the standard library. `core` stands for every module of the core that ORDER allows.
TABLE = {
    "core": Row(anywhere={"core"} | BASIC, in_functions=LAZY),
    # The public face: the classes that mirror scikit-learn's. Flows are loaded when a search is started.
    "facade": Row(anywhere={"core", "facade", "sklearn"} | BASIC, in_functions=LAZY | DASK | {"flows"}),
    "blocks": Row(anywhere={"core", "blocks"} | BASIC | PREFECT, in_functions=LAZY | {"sqlalchemy"}),
    "tasks": Row(
        anywhere={"core", "blocks", "tasks"} | BASIC | PREFECT | DASK | HELPERS,
        in_functions=LAZY,
    ),
    "flows": Row(
        anywhere={"core", "blocks", "tasks", "flows"}
        | BASIC
        | PREFECT
        | DASK
        | HELPERS
        | {"cyclopts", "yaml", "packaging", "markdown_it"},
        in_functions=LAZY | {"IPython", "mlflow"},
    ),
}
# prefect_tune/__init__.py and the drop-in classes, with what the wrappers do to blocks of rows.
FACADE = {"", "search_cv", "halving_cv", "adaptive_cv", "adaptive_base"} | {
    "wrappers",
    "blockwise",
    "blockwise_fit",
    "blockwise_score",
}
FOLDERS = {"core": "prefect_tune", "blocks": "blocks", "tasks": "tasks", "flows": "flows"}
NEVER_LOADED_BY_THE_CORE = {"prefect", "prefect_dask", "dask", "distributed", "sklearn", "pandas", "pyarrow"}
MAX_LINES = 400
# Libraries whose import name is not the name one installs them by.
INSTALLED_AS = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "prefect_dask": "prefect-dask",
    "PIL": "pillow",
    "IPython": "ipykernel",
    "mlflow": "mlflow-skinny",
    "markdown_it": "markdown-it-py",
}

SOURCES = sorted(path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*.py"))
EVERY_FILE = sorted(
    path
    for folder in (*FOLDERS.values(), "tests", "benchmarks", "examples", "deployments")
    for path in (ROOT / folder).rglob("*.py")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, where, and whether only when a function runs."""

    module: str
    line: int
    in_function: bool
    relative: bool = False


def imports_of(source: str) -> Iterator[Import]:
    """Every import of a module in the order of its text; `import_module("literal")` counts as one."""

    def visit(node: ast.AST, *, inside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module=alias.name, line=node.lineno, in_function=inside)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                # `from prefect_tune import store` names a module; `from prefect_tune.store import X` may not.
                module = f"{node.module or ''}.{alias.name}" if node.module == "prefect_tune" else node.module
                yield Import(
                    module=module or "", line=node.lineno, in_function=inside, relative=node.level > 0
                )
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literals = [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            for name in literals:
                yield Import(module=name, line=node.lineno, in_function=inside)
        lazy = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        # What only a type checker reads is not loaded either.
        lazy = lazy or (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside=lazy)

    yield from visit(ast.parse(source), inside=False)


def part_of(module: str) -> str:
    """The table's word for a module: a row of ours, or the top name of somebody else's package."""
    top, _, rest = module.partition(".")
    if top != "prefect_tune":
        return f"{top}, a folder" if top in TABLE else top
    first = rest.partition(".")[0]
    if first in FOLDERS:
        return first
    # `from prefect_tune import grid_search` goes through the public names, as a user would.
    return "facade" if first in FACADE | set(prefect_tune.__all__) else "core"


def module_of(path: Path) -> str:
    """The import name of a source file."""
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    prefix = ["prefect_tune"] if folder == "prefect_tune" else ["prefect_tune", folder]
    return ".".join([*prefix, *(rest[:-1] if rest[-1] == "__init__" else rest)])


def comes_before(earlier: str, later: str) -> bool:
    """Whether ORDER lets the second module of the core import the first, or both are in one package."""
    places = {name: line for line, names in enumerate(ORDER) for name in names}
    first, second = earlier.split(".")[1], later.split(".")[1]
    # A module without a place is the business of test_every_core_module_has_a_place.
    return first == second or not {first, second} <= set(places) or places[first] < places[second]


def faults(module: str, source: str) -> list[str]:
    """What a module imports against the tables, one sentence each."""
    row, found = TABLE[part_of(module)], []
    for item in imports_of(source):
        where, part = f"{module}, line {item.line}:", part_of(item.module)
        if item.relative:
            found.append(f"{where} relative import of {item.module or '.'}")
        elif part in sys.stdlib_module_names or item.module == "prefect_tune._version":
            continue
        elif part not in row.anywhere | row.in_functions:
            found.append(f"{where} may not import {item.module}")
        elif part not in row.anywhere and not item.in_function:
            found.append(f"{where} may import {item.module} only inside a function")
        elif part == part_of(module) == "core" and not comes_before(item.module, module):
            found.append(f"{where} imports {item.module}, which does not come before it")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_follow_the_table(path):
    """A module imports only what its row of the table allows, and in the core only what comes before it."""
    assert faults(module_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("prefect_tune.store.files", "import prefect", "may not import prefect"),
        ("prefect_tune.plan", "def f():\n    import dask.array", "may not import dask.array"),
        ("prefect_tune.plan", "import pandas as pd", "only inside a function"),
        ("prefect_tune.identity.keys", "from prefect_tune.store import Store", "does not come before it"),
        ("prefect_tune.store", "from prefect_tune import space", "does not come before it"),
        ("prefect_tune.results", "from prefect_tune.flows.search import grid_search", "may not import"),
        ("prefect_tune.search_cv", "from prefect_tune.flows import search", "only inside a function"),
        ("prefect_tune.search_cv", "import prefect", "may not import prefect"),
        ("prefect_tune.blocks.store", "from prefect_tune.tasks import run", "may not import"),
        ("prefect_tune.tasks.run", "def f():\n    from prefect_tune.flows import search", "may not import"),
        ("prefect_tune.tasks.run", "from . import runner", "relative import"),
        ("prefect_tune.flows.search", "import flows.other", "may not import flows.other"),
        ("prefect_tune.graph", "from prefect_tune import grid_search", "may not import"),
        ("prefect_tune.graph", "import prefect_tune", "may not import prefect_tune"),
        ("prefect_tune.graph", "import importlib\nimportlib.import_module('prefect')", "may not import"),
    ],
)
def test_the_check_sees_a_forbidden_import(module, source, fault):
    """Each kind of forbidden import is found: a check that finds nothing proves nothing."""
    found = faults(module, source)
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("prefect_tune.store.files", "from prefect_tune.store.pack import Pack\nimport os, numpy.random"),
        ("prefect_tune.results", "def f():\n    import pandas"),
        ("prefect_tune.search_cv", "import sklearn.base"),
        ("prefect_tune.search_cv", "def f():\n    from prefect_tune.flows import search"),
        ("prefect_tune.plan", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas"),
    ],
)
def test_the_check_allows_what_the_table_allows(module, source):
    """Imports inside one package, of the standard library and, where they may be lazy, lazy ones pass."""
    assert faults(module, source) == []


def test_every_core_module_has_a_place():
    """A module or package of the core stands in ORDER once, or it is the public face."""
    files = {path.stem for path in (ROOT / "prefect_tune").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "prefect_tune").glob("*/__init__.py")}
    listed = [name for names in ORDER for name in names]
    assert len(listed) == len(set(listed))
    assert (files | packages) - set(listed) - FACADE == set()


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_imports_a_mapped_folder_by_its_bare_name(path):
    """The folders flows, tasks and blocks are imported as parts of prefect_tune, never as top-level names."""
    tops = {item.module.partition(".")[0] for item in imports_of(path.read_text(encoding="utf-8"))}
    assert tops & {"flows", "tasks", "blocks"} == set()


def test_every_imported_library_is_declared():
    """What the package imports it depends on by name, even if another dependency brings it along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}
    imported = {
        item.module.partition(".")[0]
        for path in SOURCES
        for item in imports_of(path.read_text(encoding="utf-8"))
        if not item.relative
    }
    foreign = imported - sys.stdlib_module_names - {"prefect_tune"}
    assert {INSTALLED_AS.get(name, name) for name in foreign} <= declared


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_stay_readable(path):
    """A shipped file has at most 400 lines; the next one is a missing module."""
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Top names of all modules that a fresh interpreter has loaded after running the code."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_is_cheap(tmp_path):
    """`import prefect_tune` loads neither Prefect, Dask, scikit-learn nor pandas."""
    loaded = loaded_after("import prefect_tune", tmp_path)
    assert "prefect_tune" in loaded
    assert loaded & (NEVER_LOADED_BY_THE_CORE | {"numpy"}) == set()


def test_importing_every_core_module_loads_no_engine(tmp_path):
    """All modules of the core together load neither Prefect, Dask, scikit-learn, pandas nor pyarrow."""
    core = [module_of(path) for path in SOURCES if part_of(module_of(path)) == "core"]
    loaded = loaded_after("\n".join(f"import {module}" for module in core), tmp_path)
    assert loaded & NEVER_LOADED_BY_THE_CORE == set()
