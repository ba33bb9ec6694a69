"""Places where a test can kill or fail the process. Free when `PREFECT_TUNE_FAILPOINT` is unset.

`F3:kill@2` kills the process (SIGKILL) the second time it passes F3; `F3:error@1` raises an `OSError` (EIO)
the first time. Several are joined by commas.

F1 after a step was computed (called by the tasks) · F2 within the write of a blob · F3 before an entry is
linked to its name · F4 between the blobs and the manifest · F5 after the manifest, before anyone was told ·
F6 before a decision is written down · F7 after that, before it is acted on (both called by the flows)
"""

from __future__ import annotations

import errno
import os
import signal
import threading

VARIABLE = "PREFECT_TUNE_FAILPOINT"
_lock = threading.Lock()
_armed: dict[str, list[tuple[str, int]]] = {}
_passed: dict[str, int] = {}


def arm(spec: str | None) -> None:
    """Replace what is armed; `None` or an empty text disarms all."""
    armed: dict[str, list[tuple[str, int]]] = {}
    for item in filter(None, (spec or "").split(",")):
        name, _, rest = item.partition(":")
        action, _, count = rest.partition("@")
        if action not in ("kill", "error") or not (count or "1").isdigit():
            raise ValueError(f"{VARIABLE}: {item!r} is not like 'F3:kill@2' or 'F3:error@1'.")
        armed.setdefault(name.strip(), []).append((action, int(count or 1)))
    with _lock:
        _armed.clear()
        _passed.clear()
        _armed.update(armed)


def failpoint(name: str) -> None:
    """Nothing, unless this very passage of `name` is armed."""
    if not _armed:
        return
    with _lock:
        if name not in _armed:
            return
        _passed[name] = _passed.get(name, 0) + 1
        due = [action for action, count in _armed[name] if count == _passed[name]]
    for action in due:
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.EIO, f"failpoint {name}")


arm(os.environ.get(VARIABLE))
