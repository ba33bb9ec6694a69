"""The second half of case 11: how soon the lease of a dead holder is taken over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time

from budgets_rows import Row


def hold(place: str, far: bool, ttl: float) -> None:
    """Takes a lease and gives signs of life until the process is ended.

    Args:
        far: whether others take it for a process of another machine.
    """
    from prefect_tune.store.fs import PosixFs
    from prefect_tune.store.leases import Holder, Leases
    from prefect_tune.store.opening import open_site

    holder = Holder(uuid="f" * 32, host="elsewhere", machine="another", pid=1, start=1) if far else None
    leases = Leases(open_site(place, PosixFs(), "local").site, ttl=ttl, holder=holder)
    assert leases.take("a" * 64)
    print("held", flush=True)
    signal.pause()
    leases.release(["a" * 64])  # else nobody would need it, and its thread would look after nothing


def takeover(far: bool, ttl: float) -> float:
    """Seconds from the death of a holder to the moment at which one who waits has the lease."""
    from prefect_tune.store import StepStore
    from prefect_tune.store.fs import PosixFs
    from prefect_tune.store.leases import Leases
    from prefect_tune.store.opening import open_site

    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        StepStore.open(place)
        holder = subprocess.Popen([sys.executable, __file__, json.dumps([place, far, ttl])],
                                  stdout=subprocess.PIPE, text=True)  # fmt: skip
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            leases, had = Leases(open_site(place, PosixFs(), "local").site, ttl=ttl), []
            assert not leases.take("a" * 64)

            def wait() -> None:
                leases.wait("a" * 64, lambda: None)
                had.append(time.perf_counter())
                leases.release(["a" * 64])

            waiting = threading.Thread(target=wait)
            waiting.start()
            time.sleep(1.5 * ttl if far and ttl < 10 else 2)
            assert not had, "its holder is alive"
        finally:
            holder.kill()
            died = time.perf_counter()
            holder.communicate()
        waiting.join()
    return had[0] - died


def takeovers(quick: bool) -> list[Row]:
    """Of a holder on this machine, and of one elsewhere, of whom only its signs of life are known."""
    from prefect_tune.store.leases import TTL

    near = takeover(far=False, ttl=TTL)
    ttl = 3.0 if quick else TTL
    far = takeover(far=True, ttl=ttl)
    most = ttl + 15
    return [
        Row(quantity="lease taken over after the death of its holder, same machine",
            measured=f"{near:.2f} s", reference="0 s: its process is gone for certain", budget="≤ 45 s",
            met=near <= 45),
        Row(quantity="the same, a holder elsewhere", measured=f"{far:.1f} s",
            reference=f"{ttl:.0f} s without a sign of life", ratio=far / ttl, budget=f"≤ {most:g} s",
            met=far <= most),
    ]  # fmt: skip


if __name__ == "__main__":
    hold(*json.loads(sys.argv[1]))
