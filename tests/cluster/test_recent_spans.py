"""What the local cluster's scheduler remembers of work that is over."""

from __future__ import annotations

import time

from distributed import Client, wait

from prefect_tune.tasks.groups import Group
from prefect_tune.tasks.local_cluster import TuneCluster


def test_spans_of_pauses_long_ago_are_forgotten() -> None:
    """However often the cluster was idle, few spans stay: the last ones, and those of tasks still held."""
    with TuneCluster(Group()) as cluster, Client(cluster) as client:
        spans, groups = cluster.scheduler.extensions["spans"], cluster.scheduler.task_groups
        spans.kept = 5
        held = client.submit(abs, -1, key="held-0")
        wait(held)
        of_held = groups["held"].span_id
        seen = set()
        for number in range(20):
            assert client.submit(abs, -number, key=f"step-{number}").result(30) == number
            deadline = time.monotonic() + 30
            while (group := groups.get("step")) is not None and time.monotonic() < deadline:
                seen.add(group.span_id)
                time.sleep(0.01)
        assert len(seen) > 10, "the cluster was hardly ever idle: this shows nothing"
        assert of_held in spans.spans, "the span of a task that is still held went"
        assert len(spans.spans) <= spans.kept + 2
        assert len(spans.root_spans) == len(spans.spans) == len(spans.spans_search_by_tag["default"])
        assert client.submit(abs, -7, key="held-1").result(30) == 7
