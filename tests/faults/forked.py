"""Does searches as it is ordered to, each in a process that is forked from this one, which has imported all.

    python forked.py

Reads orders from its standard input, one line of JSON each, and answers with the process id:
{"kind": …, "folder": …, "number": …, "api": …, "mark": …, "failpoint": …, "limits": …, "options": {…}}.
The process makes FOLDER/NUMBER.searched when the search has ended well, and FOLDER/NUMBER.json of what it
came to, or of an error of ours.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import distributed  # noqa: F401 - imported here, once
from matrix import search, told

from prefect_tune import errors, grid_search, hyperband_search, successive_halving_search, tune  # noqa: F401
from prefect_tune.store import failpoints
from prefect_tune.tasks.api import api_settings

MARK = "PREFECT_TUNE_FAULT_MARK"


def carry_out(order: dict[str, Any]) -> None:
    """Runs one search to its end and writes down what became of it."""
    folder = Path(order["folder"])
    os.environ.update({MARK: order["mark"], "TMPDIR": str(folder / "tmp"), **order.get("environment", {})})
    if size := order.get("largest_file"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    failpoints.arm(order.get("failpoint"))
    try:
        with api_settings(order["api"]):
            result = search(order["kind"], folder, **order["options"])
            (folder / f"{order['number']}.searched").touch()
            found = told(order["kind"], result)
    except errors.TuneError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    written = folder / f"{order['number']}.json"
    written.with_suffix(".begun").write_text(json.dumps(found), encoding="utf-8")
    written.with_suffix(".begun").rename(written)


def main() -> None:
    """Forks for each order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        output = os.open(Path(order["folder"]) / f"{order['number']}.out", os.O_WRONLY | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        code = 1
        try:
            carry_out(order)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # As a program ends: what Prefect has not sent yet is sent, clusters of its own are closed.
            import atexit

            atexit._run_exitfuncs()
            os._exit(code)


if __name__ == "__main__":
    main()
