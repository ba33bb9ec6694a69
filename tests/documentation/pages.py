"""The pages of the documentation: what is on them, and how their code is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = ROOT / "README.md"
TUTORIALS = sorted((ROOT / "docs").glob("tutorial*.md"), key=lambda page: page.stem)
HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("*.md"))
OTHERS = sorted({*(ROOT / "docs").glob("*.md")} - {*TUTORIALS})
RUNNABLE = [README, *TUTORIALS, *HOW_TOS, *OTHERS]

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)

# Runs files in __main__ without giving them a file name there: a worker process that Dask starts would
# otherwise run a whole page again. Each has a folder, a store and names of its own.
RUN = """
import os, sys
kept = {*globals(), "kept", "page", "source"}
for page in sys.argv[1:]:
    source = open(page, encoding="utf-8").read()
    folder = os.path.splitext(page)[0]
    os.chdir(folder)
    os.environ["PREFECT_TUNE_STORE"] = folder + "-store"
    exec(compile(source, page, "exec"), globals())
    for name in {*globals()} - kept:
        del globals()[name]
"""


def name_of(page: Path) -> str:
    """The page's path below the root, for the name of a test."""
    return str(page.relative_to(ROOT))


def script_of(text: str, *, info: str) -> str:
    """The blocks with this fence as one source, each line where it stands on the page."""
    lines = [""] * text.count("\n")
    for block in FENCE.finditer(text):
        if block["info"].strip() == info:
            start = text.count("\n", 0, block.start("code"))
            code = block["code"].splitlines()
            lines[start : start + len(code)] = code
    return "\n".join(lines) + "\n"


def run_pages(pages: list[Path], folder: Path, home: Path) -> None:
    """Nothing; the code of the pages ran in one process, each from top to bottom in an empty folder."""
    scripts = []
    for page in pages:
        source = script_of(page.read_text(encoding="utf-8"), info="python")
        if source.strip():
            (folder / page.stem).mkdir()
            scripts.append(folder / f"{page.stem}.py")
            scripts[-1].write_text(source, encoding="utf-8")
    if not scripts:
        return
    env = os.environ | {"PREFECT_HOME": str(home)}
    # A page that saves a block without a server has Prefect start one, on a new database.
    env["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, scripts)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
