"""`make audit`: whether a published vulnerability is known of a package that is installed here.

pip-audit asks a database on the network. It says "no known vulnerabilities" also where the database knows
none of the packages, as behind a mirror: so what counts here is of how many packages anything was said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

TOOL = "pip-audit>=2.9,<3"  # by the Python Packaging Authority; in an environment of its own
FOLDER = Path(__file__).resolve().parents[1] / "build" / "audit"


def verdict(packages: list[dict[str, Any]]) -> tuple[int, str]:
    """(exit code, words) for what pip-audit found out of each package."""
    asked = [package for package in packages if "skip_reason" not in package]
    bad = [
        f"{package['name']} {package['version']}: {entry['id']}, "
        f"mended in {', '.join(entry['fix_versions']) or 'no release yet'}"
        for package in asked
        for entry in package["vulns"]
    ]
    known = f"{len(asked)} of {len(packages)} packages are known to the database"
    if bad:
        return 1, "\n".join([*bad, f"audit: {len(bad)} known vulnerabilities; {known}."])
    if not asked:
        return (
            0,
            "audit: SKIPPED: the database of vulnerabilities knows none of the packages, or cannot be asked.",
        )
    return 0, f"audit: no known vulnerability; {known}."


def audit() -> tuple[int, str]:
    """(exit code, words) for this interpreter's packages."""
    tool = FOLDER / "bin" / "pip-audit"
    if not tool.exists():
        venv.create(FOLDER, with_pip=True, clear=True)
        install = [FOLDER / "bin" / "python", "-m", "pip", "install", "-q", TOOL]
        if subprocess.run(install, check=False).returncode:
            return 0, f"audit: SKIPPED: {TOOL} cannot be installed."
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        options = ["--progress-spinner", "off", "--timeout", "15", "--skip-editable", "-f", "json", "-o", out]
        order = [tool, "--path", sysconfig.get_paths()["purelib"], *options]
        done = subprocess.run(order, capture_output=True, text=True, check=False)
        try:
            return verdict(json.loads(out.read_text())["dependencies"])
        except (OSError, ValueError, KeyError):
            why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            return 0, f"audit: SKIPPED: the database of vulnerabilities cannot be asked ({why[:200]})."


if __name__ == "__main__":
    code, words = audit()
    print(words)
    sys.exit(code)
