"""Identity of code in files: user modules, editable and regular installs, each in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SESSION = """
from prefect_tune.identity.code import class_identity

def helper(x):
    return x in {"a", "b", "c", 1, 2.0}

class Model:
    def fit(self, x):
        return helper(x)

print(*class_identity(Model))
"""


def script(folder: Path, text: str, hash_seed: str = "0", path: str = "") -> list[str]:
    """The lines a script printed that was started as a process of its own, source at hand."""
    file = folder / "script.py"
    file.write_text(textwrap.dedent(text))
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_identity_is_the_same_under_every_hash_seed(tmp_path):
    """A frozenset among the constants of a function has another order in each process, and counts once."""
    found = {tuple(script(tmp_path, SESSION, seed)) for seed in ("0", "1", "4242")}
    assert len(found) == 1


PACKAGE = """
from other.tools import scale
class Model:
    def fit(self, x):
        return scale(x)
"""
ASK = """
from mine import Model
from prefect_tune.identity.code import class_identity
print(*class_identity(Model))
"""


def write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


def user_package(scale: str = "return x") -> dict[str, str]:
    tools = f"def scale(x):\n    '''Doc.'''\n    {scale}\n"
    return {"mine.py": PACKAGE, "other/__init__.py": "", "other/tools.py": tools}


def test_a_file_counts_with_all_it_imports(tmp_path):
    """A class in a user's file changes with a helper in another file, not with its comments."""
    found = []
    for i, body in enumerate(["return x", "return x  # same", "return 2 * x"]):
        folder = tmp_path / str(i)
        path = write(folder, user_package(body))
        found += script(folder, ASK, path=path)
    assert found[0].startswith("source mine Model ")
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_file_edited_after_import_is_refused(tmp_path):
    """A process that runs the old code must not name it by the new file."""
    path = write(tmp_path, user_package())
    text = """
    import pathlib, other.tools
    from mine import Model
    from prefect_tune.errors import Uncacheable
    from prefect_tune.identity.code import class_identity
    class_identity(Model)
    pathlib.Path(other.tools.__file__).write_text("def scale(x):\\n    return 3 * x\\n")
    try:
        class_identity(Model)
    except Uncacheable as error:
        print(error.reason)
    """
    assert script(tmp_path, text, path=path) == [
        "other.tools was edited after it was imported; reload it or start a new process"
    ]


@pytest.mark.parametrize(
    ("origin", "start"),
    [
        (None, "dist mine-dist 1.5 mine Model"),
        ({"url": "file:///src", "dir_info": {"editable": True}}, "source mine Model "),
        ({"url": "file:///src", "dir_info": {}}, "dist mine-dist 1.5+record."),
    ],
    ids=["from an index", "editable", "from a folder"],
)
def test_an_editable_install_is_source(origin, start, tmp_path):
    """Only an install that is not editable goes by its version; one built from a folder adds its RECORD."""
    info = "mine_dist-1.5.dist-info"
    files = user_package() | {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: mine-dist\nVersion: 1.5\n",
        f"{info}/RECORD": "mine.py,sha256=abc,1\nother/tools.py,sha256=def,1\n",
        f"{info}/top_level.txt": "mine\nother\n",
    }
    if origin is not None:
        files[f"{info}/direct_url.json"] = json.dumps(origin)
    site = write(tmp_path / "site", files)
    assert script(tmp_path, ASK, path=site)[0].startswith(start)


def test_lambdas_of_installed_packages_are_refused(tmp_path):
    """A lambda in an installed package has no name to be found by."""
    info = "mine_dist-1.5.dist-info"
    site = write(
        tmp_path / "site",
        {
            "mine.py": "f = lambda x: x\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: mine-dist\nVersion: 1.5\n",
            f"{info}/RECORD": "mine.py,,\n",
            f"{info}/top_level.txt": "mine\n",
        },
    )
    text = """
    from mine import f
    from prefect_tune.errors import Uncacheable
    from prefect_tune.identity.code import callable_identity
    try:
        callable_identity(f)
    except Uncacheable as error:
        print(error.reason)
    """
    assert script(tmp_path, text, path=site) == ["a lambda inside an installed package"]


def test_a_file_that_shadows_an_installed_name_is_source(tmp_path):
    """A user's own `yaml.py` is not the distribution that also provides that name."""
    path = write(tmp_path, {"yaml.py": "class Model:\n    pass\n"})
    assert script(tmp_path, ASK.replace("mine", "yaml"), path=path)[0].startswith("source yaml Model ")
