"""The line to a bucket: opened when first used, left alone after it failed, many requests at once."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from prefect_tune.errors import TuneError
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.site import Site

AT_ONCE = 32  # requests
PAUSE, LONGEST = 5.0, 120.0  # seconds

T = TypeVar("T")
U = TypeVar("U")


class Line:
    """Requests to one bucket.

    Rule: after a failure nobody asks for `PAUSE` seconds, twice as long after each further one. A bucket that
    is away would else cost its timeout at every step. A refusal to write is remembered for good.

    Args:
        site: whose counters and notices tell of failures.
        url: of the store, for people.
        connect: gives the bucket.
    """

    def __init__(self, site: Site, url: str, connect: Callable[[], Bucket]) -> None:
        self._site, self.url, self._connect = site, url, connect
        self._lock = threading.Lock()
        self._bucket: Bucket | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._until = self._pause = 0.0
        self._closed: BucketError | None = None  # why nothing can be written

    @property
    def bucket(self) -> Bucket:
        """The bucket; BucketError if it cannot be opened."""
        with self._lock:
            if self._bucket is None:
                try:
                    self._bucket = self._connect()
                except (TuneError, RuntimeError, ValueError) as error:
                    raise BucketError(errno.EIO, str(error)) from None
            return self._bucket

    def read(self, call: Callable[[Bucket], T], *, needed: bool = False) -> T:
        """What the request gives; `needed` ones are tried whatever failed before. Raises BucketError."""
        self._check(needed)
        try:
            found = call(self.bucket)
        except BucketError as error:
            self._failed(error)
            raise
        self._pause = 0.0
        return found

    def write(self, call: Callable[[Bucket], T]) -> T:
        """As `read`, for a request that changes something."""
        if self._closed is not None:
            raise self._closed
        try:
            return self.read(call)
        except BucketError as error:
            if error.refused:
                self._closed = error
            raise

    def each(self, call: Callable[[U], T], items: Iterable[U]) -> list[T | BucketError]:
        """What `call` gives for every item, many at once; for those that fail their error."""
        items = list(items)

        def one(item: U) -> T | BucketError:
            try:
                return call(item)
            except BucketError as error:
                return error

        if len(items) < 2:
            return [one(item) for item in items]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, "store-bucket")
        return list(self._pool.map(one, items))

    def _check(self, needed: bool) -> None:
        if not needed and time.monotonic() < self._until:
            raise BucketError(errno.EAGAIN, "it failed a moment ago")

    def _failed(self, error: BucketError) -> None:
        if error.errno == errno.EFBIG:  # a bad object, not a bad line
            return
        with self._lock:
            self._pause = min(max(2 * self._pause, PAUSE), LONGEST)
            if not error.refused:
                self._until = time.monotonic() + self._pause
        self._site.counters.refuse(f"bucket: {error}")
        self._site.notices.once(
            "bucket", f"store: {self.url}: {error}. The search goes on with {self._site.root}."
        )

    def __repr__(self) -> str:
        return f"Line({self.url!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a line to a bucket is not pickled; pass the store instead.")
