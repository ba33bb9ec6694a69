"""Every pair of values that other libraries confuse or split, under our encoder, in several processes."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

LISTS = [Path(__file__).with_name(name) for name in ("pairs_data.py", "pairs_parameters.py")]
FOUND = {path: runpy.run_path(str(path))["CASES"] for path in LISTS}
HERE = {
    path: {kind: list(map(list, cases())) for kind, cases in found.items()} for path, found in FOUND.items()
}
DIFFER = [case for kinds in HERE.values() for case in kinds["differ"]]
EQUAL = [case for kinds in HERE.values() for case in kinds["equal"]]


@pytest.mark.parametrize(("left", "right"), [pytest.param(a, b, id=name) for name, a, b in DIFFER])
def test_digest_separates(left, right):
    """Values that can give different results have different digests."""
    assert left != right


@pytest.mark.parametrize(("left", "right"), [pytest.param(a, b, id=name) for name, a, b in EQUAL])
def test_digest_merges(left, right):
    """Values that are one value to every consumer have one digest."""
    assert left == right


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("hash_seed", "flags"), [("0", []), ("1", ["--without-fast-hashes"]), ("4242", [])])
def test_digests_are_the_same_in_every_process(path, hash_seed, flags):
    """Neither the hash seed nor an installed fast hash library changes any digest of the list."""
    result = subprocess.run(
        [sys.executable, str(path), *flags],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    # A class defined in the list itself lives in another module there, so its pair is left out.
    local = "two packages' Pipeline"
    there = json.loads(result.stdout)
    for kind, cases in HERE[path].items():
        assert [c for c in there[kind] if c[0] != local] == [c for c in cases if c[0] != local]
