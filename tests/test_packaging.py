"""The package as a user installs it: a wheel built from a copy of the source, looked into and imported.

The build runs on a copy, because setuptools leaves a build folder behind whose stale files would get into
the next wheel. The import runs with the editable install's finder removed, because it would find whatever
the wheel lacks.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "prefect_tune": "prefect_tune",
    "flows": "prefect_tune/flows",
    "tasks": "prefect_tune/tasks",
    "blocks": "prefect_tune/blocks",
}
IMPORTED = (
    "prefect_tune",
    "prefect_tune.errors",
    "prefect_tune.flows",
    "prefect_tune.tasks",
    "prefect_tune.blocks",
)
SHOW_FILES = """
import importlib, sys
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""


def source_files() -> dict[str, Path]:
    """Every source file of the package by the name it has in the wheel."""
    return {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}": path
        for folder, inside in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel, built without the network from a copy of the source."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("the build backend, setuptools, is not installed in this environment")
    place = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; build_meta.build_wheel('out')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = (place / "out").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder into which pip has installed the wheel, without its dependencies."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed in this environment")
    target = tmp_path_factory.mktemp("installed")
    command = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_wheel_holds_every_source_file_and_nothing_else(wheel):
    """The wheel's listing is the source tree's, with flows, tasks and blocks under prefect_tune/."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == set(source_files())


def test_wheel_has_one_top_level_name(wheel):
    """Installing adds the name prefect_tune and its metadata: no flows, tasks, blocks or tests beside it."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    (info,) = (name for name in tops if name.endswith(".dist-info"))
    assert tops == {"prefect_tune", info}


def test_wheel_carries_licence_and_type_marker(wheel):
    """The licence's text travels with the wheel, and py.typed tells type checkers to read the package."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "prefect_tune/py.typed" in names


def test_every_package_is_listed():
    """pyproject.toml names each folder that holds Python files: a forgotten one would be left out."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {
        str(Path(name).parent).replace("/", ".") for name in source_files() if Path(name).suffix == ".py"
    }
    assert sorted(table["packages"]) == sorted(found)
    assert {name.replace(".", "/"): folder for name, folder in table["package-dir"].items()} == {
        inside: folder for folder, inside in FOLDERS.items()
    }


def test_wheel_imports_outside_the_checkout(installed, tmp_path):
    """Away from the source every part comes from the installed wheel."""
    for file in files_imported(path=[installed], cwd=tmp_path):
        assert file.is_relative_to(installed)


def test_wheel_imports_with_the_checkout_first_on_the_path(installed, tmp_path):
    """The checkout's prefect_tune/ in front does not hide the installed flows, tasks and blocks.

    This is what Prefect does: it puts the working directory first on sys.path before it imports a flow.
    """
    core, errors, *mapped = files_imported(path=[ROOT, installed], cwd=tmp_path)
    assert core.is_relative_to(ROOT)
    assert errors.is_relative_to(ROOT)
    for file in mapped:
        assert file.is_relative_to(installed)


def test_collection_entry_point_imports(installed, tmp_path):
    """Prefect's server finds the blocks through the entry point, which names an importable module."""
    show = (
        "import importlib.metadata as m\n"
        "print(*{e.value for e in m.entry_points(group='prefect.collections') if e.name == 'prefect_tune'})"
    )
    assert python(show, path=[installed], cwd=tmp_path).split() == ["prefect_tune.blocks"]


def files_imported(*, path: list[Path], cwd: Path) -> list[Path]:
    """The files a fresh interpreter loads the parts of the package from, in the order of IMPORTED."""
    return [Path(line) for line in python(SHOW_FILES, *IMPORTED, path=path, cwd=cwd).splitlines()]


def python(code: str, *args: str, path: list[Path], cwd: Path) -> str:
    """What a fresh interpreter prints, with these folders in front on its path."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
