"""All benchmarks one after the other, and one page of what they found: docs/benchmarks.md.

    python benchmarks/page.py [--sizes usual] [--only grid adaptive tuners scale budgets] [--kept FOLDER]

Each runs in a process of its own and leaves its measurements as JSON in the folder of what is kept; the page
and its picture are made of what lies there, so that one that did not run keeps its part.
Sizes are `quick` (some ten minutes, for a look, not for publishing), `usual` (less than an hour) or `all`:
every case, at the size that the README has (hours).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page_plot import draw_ratios
from page_tables import LINES, TABLES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PICTURE = Path("images") / "benchmarks.png"  # beside the page
LIMITS = (
    "Wall times are of a shared machine; systems that are compared took turns in one run, so their ratios "
    "hold where seconds do not. A ratio above 1 means that prefect-tune is better; beside a "
    "budget it is ours over the reference. A *bound* is what no engine can beat there: the distinct work "
    "alone on so many cores, the longest chain, or the raw speed of the hash; *asked* is what was asked for."
)


@dataclass(frozen=True)
class Benchmark:
    """One of them.

    Attributes:
        script: its file.
        title: of its part of the page.
        quick, usual: arguments for these sizes; without any it runs in full.
    """

    script: str
    title: str
    quick: str
    usual: str

    def arguments(self, sizes: str) -> list[str]:
        """The arguments of the script for `quick`, `usual` or `all`."""
        return {"quick": self.quick, "usual": self.usual, "all": ""}[sizes].split()


BENCHMARKS = {
    "grid": Benchmark(
        "grid_search.py",
        "Grid search, beside scikit-learn and dask-ml",
        quick="--rounds 1 --case a d e f g",
        usual="--rounds 1",
    ),
    "adaptive": Benchmark(
        "adaptive.py",
        "Hyperband, beside dask-ml",
        quick="--rounds 1 --case a c",
        usual="--rounds 1 --seeds 1 --unit 0.4 --workers 8 16 32 64",
    ),
    "tuners": Benchmark(
        "tuners.py",
        "Searches over any objective, beside Ray Tune and Optuna",
        quick="--case b c --trials 60 --rounds 1",
        usual="--case b c d --rounds 1",
    ),
    "scale": Benchmark(
        "scale.py",
        "What planning and driving cost as a search grows",
        quick="--most 10000 --real 300",
        usual="--most 10000",
    ),
    "budgets": Benchmark(
        "budgets.py",
        "What one step's identity and storage cost",
        quick="--quick",
        usual="",
    ),
}


def run(name: str, sizes: str, kept: Path) -> None:
    """Nothing; the measurements of that benchmark lie in the folder.

    Raises:
        CalledProcessError: it failed; what it printed is on the terminal.
    """
    asked = BENCHMARKS[name]
    found = kept / f"{name}.json"
    arguments = asked.arguments(sizes)
    command = [sys.executable, str(HERE / asked.script), "--json", str(found), *arguments]
    began = time.time()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(done.stdout)
    about = {
        "command": " ".join([f"python benchmarks/{asked.script}", *arguments]),
        "when": datetime.date.fromtimestamp(began).isoformat(),
        "minutes": round((time.time() - began) / 60, 1),
        "load": round(os.getloadavg()[2], 1),
    }
    (kept / f"{name}.about.json").write_text(json.dumps(about, indent=2), encoding="utf-8")


def section(name: str, kept: Path) -> str:
    """What the folder knows of that benchmark, as Markdown."""
    title = BENCHMARKS[name].title
    try:
        about: dict[str, Any] = json.loads((kept / f"{name}.about.json").read_text(encoding="utf-8"))
        found = measured(name, kept)
    except FileNotFoundError:
        return f"## {title}\n\nNot run yet: `python benchmarks/{BENCHMARKS[name].script}`.\n"
    machine = found["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items() if number)
    head = (
        f"`{about['command']}`, {about['when']}, {about['minutes']} minutes, load {about['load']} at its "
        f"end: {machine['cores']} cores, Python {machine['python']}, {versions}."
    )
    return f"## {title}\n\n{head}\n\n{TABLES[name](found)}\n"


def measured(name: str, kept: Path) -> dict[str, Any]:
    """The measurements of that benchmark.

    Raises:
        FileNotFoundError: it has not run.
    """
    found: dict[str, Any] = json.loads((kept / f"{name}.json").read_text(encoding="utf-8"))
    return found


def draw(kept: Path, picture: Path) -> None:
    """Nothing; the picture of the ratios of what ran beside others is there."""
    lines = []
    for name, of in LINES.items():
        with contextlib.suppress(FileNotFoundError):
            lines += [line for line in of(measured(name, kept)) if line.peer]
    if lines:
        draw_ratios(lines, picture)


def page(kept: Path) -> str:
    """The page."""
    parts = "\n".join(section(name, kept) for name in BENCHMARKS)
    return (
        "# Benchmarks\n\nMade by `make bench`, which takes less than an hour and writes this page; "
        '`make bench ARGS="--sizes all"` has every case in full, in hours. '
        "The [README](../README.md#figures) has the figures that matter most, with what limits them.\n\n"
        f"{LIMITS}\n\n![How many times faster than others]({PICTURE})\n\n{parts}"
    )


def publish(kept: Path, where: Path) -> None:
    """Nothing; the page and its picture say what lies in the folder."""
    where.write_text(page(kept), encoding="utf-8")
    draw(kept, where.parent / PICTURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", choices=["quick", "usual", "all"], default="usual", help="see above")
    parser.add_argument("--only", nargs="*", default=list(BENCHMARKS), choices=list(BENCHMARKS))
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "bench", help="where measurements lie")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    asked = parser.parse_args()
    asked.kept.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for number, name in enumerate(asked.only, 1):
        print(f"[{number}/{len(asked.only)}] {BENCHMARKS[name].title}", flush=True)
        try:
            run(name, asked.sizes, asked.kept)
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} (exit code {error.returncode})")
        publish(asked.kept, asked.page)
    if not asked.only:  # `--only` without a name: the page of what is kept
        publish(asked.kept, asked.page)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the page has the others")


if __name__ == "__main__":
    main()
