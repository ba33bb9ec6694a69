"""`make audit` never says that all is well where nobody was asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "audit.py"
SKIPPED = {"name": "a", "skip_reason": "not found"}
SOUND = {"name": "b", "version": "1", "vulns": []}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("audit_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([], 0, "SKIPPED"),
        ([SKIPPED, SKIPPED], 0, "SKIPPED"),
        ([SKIPPED, SOUND], 0, "no known vulnerability; 1 of 2 packages"),
        ([SKIPPED, SOUND, BAD], 1, "c 2: CVE-1, mended in 3"),
    ],
)
def test_what_was_not_asked_is_not_passed(script, packages, code, words):
    """Packages that the database does not know are counted apart."""
    found, said = script.verdict(packages)
    assert found == code
    assert words in said
    assert ("no known" in said) == (code == 0 and SOUND in packages)
