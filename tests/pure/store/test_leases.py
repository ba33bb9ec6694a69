"""Leases: one computes, the others wait; whoever dies, sleeps or loses its disk holds nobody up for long.

No test sleeps: clocks are numbers that the test moves, and actors are objects of one process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from prefect_tune.store import StepStore, leases
from prefect_tune.store.faults import FailNth, Killed
from prefect_tune.store.fs import PosixFs
from prefect_tune.store.leases import Holder, Leases, leases_of

NAME, OTHER = "a" * 64, "b" * 64
TTL, MEMORY = 30.0, "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Clock:
    """Seconds since nowhere in particular; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def actor(store: StepStore, clock: Clock) -> Callable[..., Leases]:
    """Makes somebody who takes leases: of another machine, so that only the clock tells whether it lives."""

    def make(name: str = "", **options) -> Leases:
        holder = Holder(uuid=name or os.urandom(4).hex(), host=name)
        given = {"ttl": TTL, "clock": clock, "pause": clock.sleep, "heart": False, "holder": holder}
        return Leases(store._site, **{**given, **options})

    return make


def files(store: StepStore) -> list[str]:
    return sorted(os.listdir(Path(store.root) / "leases"))


def look_until_taken(one: Leases, clock: Clock, step: float = 1.0) -> float:
    """Seconds until a lease that another has is had by `one`, which looks every `step`."""
    begun = clock.now
    while not one.take(NAME):
        assert clock.now - begun < 100 * TTL
        clock.now += step
    return clock.now - begun


def test_one_has_it_and_gives_it_back(store, actor):
    """The second is told to wait, until the first is done."""
    first, second = actor(), actor()
    assert first.take(NAME)
    assert first.take(NAME)
    assert not second.take(NAME)
    assert second.take(OTHER)
    first.release([NAME])
    assert second.take(NAME)
    second.release([NAME, OTHER])
    assert files(store) == []
    assert os.listdir(Path(store.root) / "tmp") == []


def test_a_silent_holder_is_replaced_after_a_ttl(actor, clock):
    """Not before: it may be at work."""
    dead, heir = actor(), actor()
    assert dead.take(NAME)
    assert TTL <= look_until_taken(heir, clock) <= TTL + 2
    assert heir.held == {NAME}


def test_a_holder_that_beats_is_never_replaced(actor, clock):
    """However long its work takes."""
    holder, other = actor(), actor()
    assert holder.take(NAME)
    for _ in range(100):
        clock.now += TTL / 3
        holder.beat()
        assert not other.take(NAME)


def test_a_beat_counts_for_every_lease(actor, clock):
    """Leases of one process are names of one file, and each of them lives."""
    holder, other = actor(), actor()
    assert holder.take(NAME)
    assert holder.take(OTHER)
    for _ in range(20):
        clock.now += TTL / 3
        holder.beat()
        assert not other.take(NAME)
        assert not other.take(OTHER)
    holder.release([NAME])
    assert other.take(NAME)
    assert not other.take(OTHER)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 86_400.0])
def test_jumps_of_the_wall_clock_change_nothing(store, actor, clock, monkeypatch, jump):
    """Neither the holder's clock nor the observer's is asked: no early steal, no late one."""
    wall = [1e9]

    class Shifted(PosixFs):
        def touch(self, path):
            os.utime(path, (wall[0], wall[0]))

    holder, heir = actor(), actor()
    monkeypatch.setattr(store._site, "fs", Shifted())
    monkeypatch.setattr("time.time", lambda: wall[0])
    assert holder.take(NAME)
    for beat in range(30):
        wall[0] += TTL / 3 + (jump if beat % 7 == 3 else 0.0)
        clock.now += TTL / 3
        holder.beat()
        assert not heir.take(NAME)
    wall[0] += jump
    assert TTL - TTL / 3 <= look_until_taken(heir, clock) <= TTL + 2


def test_who_was_stopped_itself_looks_again_before_it_takes_over(actor, clock):
    """An observer that slept for an hour has watched for one look, not for an hour."""
    holder, heir = actor(), actor()
    assert holder.take(NAME)
    assert not heir.take(NAME)
    clock.now += 3600.0
    assert not heir.take(NAME)


def test_a_holder_that_wakes_up_leaves_the_heir_alone(actor, clock):
    """It neither renews nor removes what is no longer its own, and can take it again later."""
    sleeper, heir, third = actor(), actor(), actor()
    assert sleeper.take(NAME)
    look_until_taken(heir, clock)
    sleeper.beat()
    assert sleeper.held == set()
    sleeper.release([NAME])
    assert not third.take(NAME)
    assert not sleeper.take(NAME)
    heir.release([NAME])
    assert sleeper.take(NAME)


def test_two_stealers_one_wins(store, actor, clock):
    """Who comes second finds the lease of the first, puts it back, and waits."""
    dead, first, second = actor("dead"), actor("first"), actor("second")
    assert dead.take(NAME)
    for one in (first, second):
        assert not one.take(NAME)
    for _ in range(4):
        clock.now += TTL / 3
        seen = [one.take(NAME) for one in (first, second)]
        if any(seen):
            break
    assert seen == [True, False]
    # The moment between the second's look and its steal: what it moves away is no longer what it saw.
    second._steal(NAME, dead.holder)
    assert first._read(NAME) == first.holder
    assert os.listdir(Path(store.root) / "tmp") == []


def test_waiting_ends_with_the_result(actor, clock):
    """Who waits asks for the result each time, and takes no lease when it is there."""
    holder, other = actor(), actor()
    assert holder.take(NAME)
    asked: list[float] = []

    def known():
        asked.append(clock.now)
        return "result" if len(asked) == 20 else None

    def beating(seconds):
        clock.sleep(seconds)
        holder.beat()

    other._pause = beating
    assert other.wait(NAME, known) == "result"
    assert other.held == set()
    gaps = [late - early for early, late in itertools.pairwise(asked)]
    assert min(gaps) >= leases.SOONEST / 2
    assert max(gaps) <= leases.LATEST


def test_waiting_ends_with_the_lease(actor, clock):
    """Its holder gave up without a result: who waited computes, with the lease."""
    holder, other = actor(), actor()
    assert holder.take(NAME)
    other._pause = lambda seconds: (clock.sleep(seconds), holder.release([NAME]))
    assert other.wait(NAME, lambda: None) is None
    assert other.held == {NAME}


def test_a_result_left_at_the_last_moment_is_found(actor, clock):
    """It was put between the look at the store and the lease: asked once more, nothing is computed."""
    holder, other = actor(), actor()
    assert holder.take(NAME)
    left: list[str] = []

    def finish(seconds):
        clock.sleep(seconds)

    def known():
        if not left and clock.now > 1001:
            holder.release([NAME])
            left.append("result")
            return None  # the look was before it
        return left[0] if left else None

    other._pause = finish
    assert other.wait(NAME, known) == "result"
    assert other.held == set()


def test_waiting_ends_in_any_case(actor, clock):
    """A holder that lives and never finishes costs `max_wait`; then the other computes without the lease."""
    holder, other = actor(), actor(max_wait=100.0)
    assert holder.take(NAME)
    other._pause = lambda seconds: (clock.sleep(seconds), holder.beat())
    begun = clock.now
    assert other.wait(NAME, lambda: None) is None
    assert 100.0 <= clock.now - begun <= 103.0
    assert other.held == set()


def test_threads_of_one_process_wait_for_each_other(actor):
    """A thread does not take, and cannot give back, what another thread has."""
    one = actor()
    assert one.take(NAME)
    seen = []

    def other() -> None:
        seen.append(one.take(NAME))
        one.release([NAME])

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [False]
    assert one.held == {NAME}


@pytest.mark.parametrize("spoil", [b"", b"{", b"[]", b'{"uuid": 1, "more": 2}', b"\xff" * 100])
def test_a_lease_that_makes_no_sense_grows_stale_like_others(store, actor, clock, spoil):
    """Whoever wrote it."""
    path = Path(store.root) / "leases" / NAME
    path.write_bytes(spoil)
    assert TTL <= look_until_taken(actor(), clock) <= TTL + 2


@pytest.mark.skipif(not leases._machine(), reason="needs /proc to tell one boot and namespace from another")
@pytest.mark.parametrize("how", ["ended", "zombie", "stopped", "number used again"])
def test_a_process_of_this_machine_that_has_ended_is_replaced_at_once(actor, how):
    """On one machine nobody waits for a TTL; a process that is only stopped counts as alive."""
    code = "import time; from prefect_tune.store.leases import Holder; h = Holder.here()"
    code += "; print(h.machine, h.pid, h.start, sep='|', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        machine, pid, start = process.stdout.readline().split("|")
        holder = dataclasses.replace(Holder.here(), machine=machine, pid=int(pid), start=int(start))
        try:
            assert not holder.gone()
            if how == "stopped":
                process.send_signal(signal.SIGSTOP)
                assert not holder.gone()
                return
            if how == "number used again":
                assert dataclasses.replace(holder, start=holder.start + 1).gone()
                return
            process.kill()
            if how == "ended":
                process.wait()
            else:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert holder.gone()
            assert not dataclasses.replace(holder, machine="another boot").gone()
            first, heir = actor(holder=holder), actor()
            assert first.take(NAME)
            assert heir.take(NAME)
        finally:
            process.kill()


def test_the_heart_beats(store):
    """A thread of the process renews what is held, while it is held."""
    one = Leases(store._site, ttl=0.03)
    assert one.take(NAME)
    path = Path(store.root) / "leases" / NAME
    os.utime(path, (0, 0))
    done = threading.Event()
    beat, one.beat = one.beat, lambda: (beat(), done.set())
    assert done.wait(10)
    assert path.stat().st_mtime > 0
    one.release([NAME])


def test_who_has_leases(store, tmp_path, monkeypatch):
    """One object per process and folder; none where nothing can be written, or where they are turned off."""
    assert leases_of(store) is leases_of(StepStore.open(store.root))
    assert leases_of(StepStore.open(tmp_path / "other")) is not leases_of(store)
    assert leases_of(object()) is None
    closed = StepStore.open(store.root)
    closed.writable = False
    assert leases_of(closed) is None
    monkeypatch.setenv(leases.VARIABLE, "0")
    assert leases_of(store) is None


# -- faults ------------------------------------------------------------------------------------------------


def work(root: Path, fs, clock: Clock) -> list[bool]:
    """What somebody does in a round of work: takes two, beats, tries one that is stale, gives all back."""
    site = dataclasses.replace(StepStore.open(root)._site, fs=fs)
    one = Leases(site, ttl=TTL, clock=clock, pause=clock.sleep, heart=False, holder=Holder(uuid="me"))
    went = [one.take(NAME), one.take(OTHER)]
    one.beat()
    for _ in range(10):  # a look that went wrong may make it watch anew
        clock.now += TTL / 3
        if taken := one.take("c" * 64):
            break
    went.append(taken)
    went.append(one.wait("d" * 64, lambda: None) is None)
    one.release([NAME, OTHER, "c" * 64, "d" * 64])
    return went


@pytest.mark.parametrize("how", ["EIO", "ENOSPC", "EACCES", "EROFS", "after", "short", "kill", "torn"])
def test_every_single_call_may_fail(in_memory, how):
    """For every n the n-th call fails: nothing is raised, nobody waits without end, and others can go on."""
    n, fs = 0, None
    while fs is None or fs.fired:
        n += 1
        root, clock = in_memory / str(n), Clock()
        dead = Leases(StepStore.open(root)._site, heart=False, holder=Holder(uuid="dead"))
        for name in ("c", "d"):
            assert dead.take(name * 64)
        fs = FailNth(None, n, how)
        with contextlib.suppress(Killed):
            went = work(root, fs, clock)
            assert went[:2] == [True, True]
            assert went[-2:] == [True, True]
        # Somebody with a healthy disk comes through, after a TTL at most.
        heir = Leases(StepStore.open(root)._site, ttl=TTL, clock=clock, pause=clock.sleep, heart=False)
        begun = clock.now
        for name in "abcd":
            assert heir.wait(name * 64, lambda: None) is None
        assert heir.held == {name * 64 for name in "abcd"}
        assert clock.now - begun <= 4 * (TTL + 2 * leases.LATEST)
        heir.release([name * 64 for name in "abcd"])
        assert os.listdir(root / "leases") == []
        shutil.rmtree(root)
    assert n > 20


# -- any order of events -----------------------------------------------------------------------------------

ACTORS, NAMES = st.integers(0, 2), st.sampled_from([NAME, OTHER])


class LeaseMachine(RuleBasedStateMachine):
    """Three actors take, finish, die, sleep and wake; the store's put-if-absent is a dict.

    `at_work`: who believes that a name is its to compute. `silent`: for how long an actor gave no sign.
    """

    @initialize()
    def open(self) -> None:
        self.root = Path(tempfile.mkdtemp(dir=MEMORY))
        self.site = StepStore.open(self.root / "store")._site
        self.clock = Clock()
        self.number = 0
        self.actors = [self.born() for _ in range(3)]
        self.asleep: set[int] = set()
        self.silent = [0.0, 0.0, 0.0]
        self.at_work: dict[str, set[int]] = {NAME: set(), OTHER: set()}
        self.results: dict[str, int] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def born(self) -> Leases:
        self.number += 1
        return Leases(
            self.site, ttl=TTL, clock=self.clock, heart=False, holder=Holder(uuid=f"actor {self.number}")
        )

    @rule(who=ACTORS, name=NAMES)
    def take(self, who: int, name: str) -> None:
        if who in self.asleep or who in self.at_work[name] or name in self.results:
            return
        others = self.at_work[name]
        if not self.actors[who].take(name):
            return
        # It may be had only if whoever is at it was silent for a TTL.
        assert all(self.silent[other] >= TTL * 2 / 3 for other in others), (who, others, self.silent)
        self.at_work[name] = {*others, who}

    @rule(who=ACTORS, name=NAMES)
    def finish(self, who: int, name: str) -> None:
        """The first result stays; who comes later adopts it."""
        if who in self.asleep or who not in self.at_work[name]:
            return
        self.results.setdefault(name, who)
        self.at_work[name].discard(who)
        self.actors[who].release([name])

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        """The result is collected, or belongs to another step: the name can be computed again."""
        self.results.pop(name, None)

    @rule(who=ACTORS)
    def crash(self, who: int) -> None:
        """It is gone, and starts again as somebody else; nobody knows but by its silence."""
        for name in (NAME, OTHER):
            if who in self.at_work[name]:
                self.at_work[name].discard(who)
        self.asleep.discard(who)
        self.actors[who], self.silent[who] = self.born(), 0.0

    @rule(who=ACTORS)
    def stop(self, who: int) -> None:
        self.asleep.add(who)

    @rule(who=ACTORS)
    def wake(self, who: int) -> None:
        self.asleep.discard(who)

    @rule(seconds=st.sampled_from([0.1, 2.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        """Those who are awake give a sign of life, and everybody else gets a silent while older."""
        self.clock.now += seconds
        for who, one in enumerate(self.actors):
            if who in self.asleep:
                self.silent[who] += seconds
            else:
                one.beat()
                self.silent[who] = 0.0

    @invariant()
    def never_stuck(self) -> None:
        """When nobody is at it any more, a newcomer gets every lease in the end."""
        if not hasattr(self, "clock") or self.number % 5 or any(self.at_work.values()):
            return
        heir = self.born()
        for name in (NAME, OTHER):
            for _ in range(10):
                if heir.take(name):
                    break
                self.clock.now += TTL / 3
            else:
                raise AssertionError(f"{name[:4]} cannot be had")
        heir.release([NAME, OTHER])

    @invariant()
    def no_litter(self) -> None:
        """Nothing is left in tmp/."""
        if hasattr(self, "root"):
            assert os.listdir(self.root / "store" / "tmp") == []


LeaseMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLeases = LeaseMachine.TestCase
