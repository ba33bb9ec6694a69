"""What a search starts here listens to this machine only: whoever reaches a Dask port runs code."""

from __future__ import annotations

import ipaddress

import psutil
import pytest

from prefect_tune.tasks.cluster import open_cluster

pytestmark = pytest.mark.cluster


def listening(pids: set[int]) -> dict[tuple[str, int], int]:
    """(address, port) -> process, of all sockets on which these processes wait for somebody."""
    found = {}
    for pid in pids:
        for entry in psutil.Process(pid).net_connections(kind="inet"):
            if entry.status == psutil.CONN_LISTEN or (entry.type.name == "SOCK_DGRAM" and not entry.raddr):
                found[entry.laddr.ip, entry.laddr.port] = pid
    return found


def test_the_local_cluster_listens_on_loopback_only() -> None:
    """Scheduler, workers and whatever comes with them: nothing is bound to another address."""
    me = psutil.Process()
    ours = {me.pid, *(child.pid for child in me.children(recursive=True))}
    before = listening(ours)
    lease = open_cluster(n_workers=2)
    try:
        pids = {me.pid, *(child.pid for child in me.children(recursive=True))}
        new = {place: pid for place, pid in listening(pids).items() if place not in before}
        assert len(set(new.values())) >= 3  # the scheduler here, and two workers
        open_to_others = [place for place in new if not ipaddress.ip_address(place[0]).is_loopback]
        assert open_to_others == []
    finally:
        lease.close()
