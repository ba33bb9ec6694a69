"""Rows 3, 14 and 15: the API is killed, answers nonsense or not at all; the scheduler is out of reach."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from api_process import ApiProcess
from oracles import IN_FLIGHT, GoldenOf, check
from tunnel import Tunnel
from world import World

KINDS = ["grid", "hyperband", "tune"]


@pytest.fixture
def api_tunnel(api: ApiProcess, world: World, dice: random.Random) -> Iterator[Tunnel]:
    """The way from the search to its API; workers have one of their own."""
    tunnel = Tunnel(api.port, dice)
    world.api = f"http://127.0.0.1:{tunnel.port}/api"
    yield tunnel
    world.api = api.url
    tunnel.close()


@pytest.fixture
def dask_tunnel(world: World, dice: random.Random) -> Iterator[Tunnel]:
    """The way from the search to its scheduler."""
    tunnel = Tunnel(int(world.cluster.rpartition(":")[2]), dice)
    world.cluster = f"tcp://127.0.0.1:{tunnel.port}"
    yield tunnel
    tunnel.close()


@pytest.mark.parametrize("fault", ["503", "429", "slow", "reset", "lost reply", "500"])
@pytest.mark.parametrize("kind", KINDS)
def test_api_that_fails_now_and_then(
    kind: str, fault: str, world: World, golden: GoldenOf, api: ApiProcess, api_tunnel: Tunnel
) -> None:
    """One request in ten goes wrong: the search ends well, or says why and goes on when it is run again.

    Prefect's client asks again after 503 and 429, not after 500, and not when it never was connected.
    """
    whole = golden(kind)
    api_tunnel.fault, api_tunnel.chance = fault, 0.1
    run = world.start(kind)
    found = run.ended()
    assert api_tunnel.faults > 0
    if fault in ("503", "429", "slow"):
        assert found is not None, run.output()
        assert "error" not in found, found
    if found is None or "error" in found:
        world.api = api.url
        run = world.start(kind)
    world.api = api.url
    check(world, run, whole, repeated=0)


@pytest.mark.parametrize("kind", KINDS)
def test_api_that_is_killed(
    kind: str, world: World, golden: GoldenOf, api: ApiProcess, dice: random.Random
) -> None:
    """It is killed in mid-search and comes back after seconds: nothing is done again, and all ends well."""
    whole = golden(kind)
    run = world.under_way(kind, whole.log, dice)
    api.kill()
    time.sleep(3)  # what an operator, or a container's restart policy, takes at least
    api.start()
    check(world, run, whole, repeated=0)


@pytest.mark.parametrize("how", ["held", "cut"])
@pytest.mark.parametrize("kind", KINDS)
def test_scheduler_out_of_reach(
    kind: str, how: str, world: World, golden: GoldenOf, dask_tunnel: Tunnel, dice: random.Random
) -> None:
    """For five seconds nothing gets through, or every connection is cut: the search goes on by itself."""
    whole = golden(kind)
    run = world.under_way(kind, whole.log, dice)
    setattr(dask_tunnel, how, True)
    time.sleep(5)
    setattr(dask_tunnel, how, False)
    check(world, run, whole, repeated=IN_FLIGHT[kind])
