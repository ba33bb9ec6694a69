"""A way between two programs that can be held up, cut, and, for HTTP, made to answer what it likes."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Coroutine
from typing import Any

_REQUEST = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) [^ ]+ HTTP/1\.1\r\n")
_ANSWER = "HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"


class Tunnel:
    """TCP connections to a port of this machine, passed on by a thread.

    Attributes:
        port: where it listens.
        held: while true, what arrives waits.
        cut: while true, open connections end and new ones are closed at once.
        chance: of a fault for each HTTP request that is not for a web socket; one of the first ten has one.
        fault: a status to answer with, "reset" (a request is dropped with its connection), "lost reply" (it
            is passed on, then the connection ends) or "slow" (half a second).
        faults: how many there were.
    """

    def __init__(self, target: int, dice: random.Random) -> None:
        self.target, self.dice = target, dice
        self.held = self.cut = False
        self.chance, self.fault, self.faults = 0.0, "", 0
        self._until_first = dice.randint(1, 10)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Ends it with all connections."""
        self.cut, self.held = True, False
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """Nothing; no connection is left open: who runs when it is found would be blamed."""
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 10)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, back, writer)),
            asyncio.ensure_future(self._pass(there, writer, None)),
        ]
        while not self.cut and not any(way.done() for way in ways):
            await asyncio.wait(ways, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, back):
            end.transport.abort() if self.cut else end.close()

    async def _pass(
        self, source: asyncio.StreamReader, goal: asyncio.StreamWriter, asker: asyncio.StreamWriter | None
    ) -> None:
        """Passes bytes on, one way; `asker` is who may be answered instead."""
        while data := await source.read(1 << 16):
            while self.held and not self.cut:
                await asyncio.sleep(0.05)
            if asker is not None and self._due(data):
                self.faults += 1
                if self.fault == "slow":
                    await asyncio.sleep(0.5)
                elif self.fault == "lost reply":
                    goal.write(data)
                    await goal.drain()
                    await asyncio.sleep(0.2)
                    asker.transport.abort()
                    return
                elif self.fault == "reset":
                    asker.transport.abort()
                    return
                else:
                    asker.write(_ANSWER.format(status=self.fault).encode())
                    await asker.drain()
                    return
            goal.write(data)
            await goal.drain()

    def _due(self, data: bytes) -> bool:
        request = _REQUEST.match(data) is not None and b"upgrade: websocket" not in data.lower()
        if not request or not self.chance:
            return False
        self._until_first -= 1
        return self._until_first == 0 or self.dice.random() < self.chance
