"""A world without a clock: the event loop's time moves on only when nobody has anything left to do.

Rule 1: whatever happens is drawn from the seed, and happens in one thread. The same seed is the same story.
Rule 2: the drivers are the real ones. They wait on this loop; their threads are calls, their workers a model.
Rule 3: a process that is killed does nothing any more, whatever its `finally` blocks try.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any


class Killed(BaseException):
    """SIGKILL of the driver's process."""


class Broken(AssertionError):
    """An oracle found what must not be."""


class World:
    """Time, chance, and what is going to happen.

    Args:
        seed: text that everything is drawn from.
        most: events after which the story counts as one without end.

    Attributes:
        now: seconds.
        trail: what has happened, in words, for whoever looks at a failing seed.
    """

    def __init__(self, seed: str, most: int = 20_000) -> None:
        self.draw = random.Random(seed)
        self.now = 0.0
        self.trail: list[str] = []
        self.most, self.events = most, 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def note(self, text: str) -> None:
        """Adds a line to the trail."""
        self.trail.append(f"{self.now:9.3f} {text}")

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Has something happen later."""
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), do))

    def step(self, timeout: float | None) -> None:
        """The next thing happens, or so much time passes.

        Raises:
            Broken: nothing will ever happen any more, and somebody waits; or it never ends.
        """
        if self._due and (timeout is None or self._due[0][0] <= self.now + timeout):
            self.events += 1
            check(self.events < self.most, f"no end after {self.most} events")
            self.now, _, do = heapq.heappop(self._due)
            do()
        elif timeout is None:
            raise Broken("the driver waits, and nothing is under way that could wake it")
        else:
            self.events += 1
            check(self.events < self.most, f"no end after {self.most} events")
            self.now += timeout

    def rest(self) -> None:
        """Everything that is still due happens: what nobody waits for any more."""
        while self._due:
            self.step(None)


def check(holds: object, text: str) -> None:
    """Nothing, if it holds.

    Raises:
        Broken: it does not.
    """
    if not holds:
        raise Broken(text)


class SimLoop(asyncio.BaseEventLoop):
    """An event loop that waits for the world instead of files and clocks."""

    def __init__(self, world: World, life: Any) -> None:
        super().__init__()
        self.world, self.life = world, life
        self.ending = False
        self._selector = self  # type: ignore[assignment]
        self.strange: list[Any] = []
        self.set_exception_handler(lambda _, context: self.strange.append(context))

    def time(self) -> float:
        return self.world.now

    def select(self, timeout: float | None) -> list[Any]:
        """No files are ready; if nobody has anything to do, the world moves on."""
        if self.life.dead and not self.ending:  # killed in a callback, whose errors asyncio keeps to itself
            raise Killed("in a callback")
        if timeout is None or timeout > 0:
            if self.ending:
                raise Broken("a process that was killed still waits for something")
            self.world.step(timeout)
        return []

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> asyncio.Future[Any]:  # type: ignore
        """The future of a call: at once without an executor."""
        return asyncio.wrap_future((executor or Inline()).submit(function, *arguments), loop=self)

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing: there are none."""

    def _write_to_self(self) -> None:
        """Nothing: nobody sleeps."""


class Inline:
    """An executor that calls at once, in this thread."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """The future of a call that has been made."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """Nothing."""


class Slowly(Inline):
    """An executor whose answers come later: a sampler that thinks."""

    def __init__(self, world: World, longest: float) -> None:
        self.world, self.longest = world, longest

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """The future of a call that will be made."""
        future: Future[Any] = Future()

        def answer() -> None:
            if future.cancelled():
                return
            done = Inline().submit(function, *arguments)
            error = done.exception()
            future.set_exception(error) if error is not None else future.set_result(done.result())

        self.world.after(self.world.draw.random() * self.longest, answer)
        return future


def live(world: World, life: Any, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `main` returns, run by a process of its own; None if that process was killed.

    Args:
        life: has `dead`, which is set when the process is killed.
    """
    loop = SimLoop(world, life)
    task: asyncio.Task[Any] | None = None
    try:
        task = loop.create_task(main())
        return loop.run_until_complete(task)
    except Killed:
        life.dead = True
        return None
    finally:
        _bury(loop, task)


def _bury(loop: SimLoop, main: asyncio.Task[Any] | None) -> None:
    """Ends what the process has left, so that Python says nothing about it."""
    loop.ending = True
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in left:
        task.cancel()
    with contextlib.suppress(Killed, Broken):
        loop.run_until_complete(_ended(left))
    if main is not None and main.done() and not main.cancelled():
        main.exception()  # it was told by whoever awaited it
    loop.close()


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def time_of(world: World, *modules: Any) -> Iterator[None]:
    """Has those modules see the world's time for the clock's."""
    clock = SimpleNamespace(
        perf_counter=lambda: world.now, monotonic=lambda: world.now, time=lambda: 1.7e9 + world.now
    )
    before = [module.time for module in modules]
    for module in modules:
        module.time = clock
    try:
        yield
    finally:
        for module, old in zip(modules, before, strict=True):
            module.time = old
