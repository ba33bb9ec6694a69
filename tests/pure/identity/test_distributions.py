"""Which installed distribution a module belongs to."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from prefect_tune.identity.distributions import _modules, _name, owners


def test_owners_are_those_that_python_names() -> None:
    """Every module has the owners that the standard library finds; only it overlooks compiled top modules."""
    said = {name: sorted(set(of)) for name, of in importlib.metadata.packages_distributions().items()}
    assert len(said) > 20
    found = owners()
    assert {name: found.get(name) for name in said} == said
    for name in set(found) - set(said):
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert str(spec.origin).endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)), name


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        ({"top_level.txt": "one\ntwo\n", "RECORD": "three/__init__.py,sha256=x,1\n"}, {"one", "two"}),
        ({"RECORD": 'a/__init__.py,,\na/b.py,,\nsingle.py,,\n"odd, name.py",,\n'}, {"a", "single"}),
        (
            {"RECORD": "x-1.0.dist-info/METADATA,,\n../../bin/run,,\n__pycache__/a.pyc,,\n"},
            set(),
        ),
        ({}, set()),
    ],
    ids=["declared", "from its files", "no modules", "nothing"],
)
def test_modules_of_a_distribution(files: dict[str, str], modules: set[str], tmp_path: Path) -> None:
    """What it declares counts; or else packages and modules among its files."""
    (folder := tmp_path / "some_thing-1.0.dist-info").mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: Some.Thing\n\nName: not this\n")
    for name, text in files.items():
        (folder / name).write_text(text)
    distribution = importlib.metadata.Distribution.at(folder)
    assert _modules(distribution) == modules
    assert _name(distribution) == "Some.Thing"
