"""A bucket on S3 or what speaks its protocol, through obstore.

Rule: no text of the library leaves this module. Answers of servers repeat key ids and signed requests, so
errors are told in words of our own, with the server's code for it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from prefect_tune.errors import MissingDependency, UserError
from prefect_tune.store.remote.bucket import BucketError, Entry
from prefect_tune.store.remote.sources import Options
from prefect_tune.store.remote.urls import StoreUrl

PART = 16 << 20  # bytes of one request of a large object
AHEAD = 4  # parts that are fetched at once
_TIMES: Any = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "300s"}
_RETRIES: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=30)}
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

Method = TypeVar("Method", bound=Callable[..., Any])


def _told(method: Method) -> Method:
    """The method, with the library's errors as BucketError; what is absent is None."""

    @wraps(method)
    def call(self: S3Bucket, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except BucketError:
            raise
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise BucketError(errno.ENODEV, f"there is no bucket {self.url.bucket!r}") from None
            return None
        except Exception as error:
            raise _in_words(error) from None

    return call  # type: ignore[return-value]


class S3Bucket:
    """The objects below a URL.

    Args:
        url: of the store.
        options: region, endpoint, credentials; what is not given is taken from the variables AWS_*.

    Raises MissingDependency without obstore, UserError for settings that cannot work.
    """

    def __init__(self, url: StoreUrl, options: Options) -> None:
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise MissingDependency(
                f"store: {url} needs the package obstore: pip install 'prefect-tune[s3]'."
            ) from None
        self.url, self._library = url, obstore
        settings: Any = options.reveal()
        plain = _plain_http(settings, url)
        try:
            self._client = S3Store(
                url.bucket,
                prefix=url.prefix or None,
                config=settings,
                client_options=_TIMES | {"allow_http": plain},
                retry_config=_RETRIES,
            )
        except Exception as error:
            names = ", ".join(sorted(settings)) or "the environment"
            raise UserError(
                f"store: {url}: its client's settings cannot be used ({type(error).__name__}). Check {names}."
            ) from None

    def __repr__(self) -> str:
        return f"S3Bucket({str(self.url)!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a bucket's client holds secrets and is not pickled; pass the store instead.")

    @_told
    def get(self, name: str, limit: int) -> tuple[bytes, str] | None:
        found = self._library.get(self._client, name)
        if found.meta["size"] > limit:
            raise BucketError(errno.EFBIG, f"{name} has {found.meta['size']} bytes, at most {limit} are read")
        return bytes(found.bytes()), found.meta["e_tag"] or ""

    def parts(self, name: str, size: int) -> Iterator[bytes]:
        spans = [(start, min(start + PART, size)) for start in range(0, size, PART)]
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(AHEAD, "store-part") as pool:
            try:
                for start, end in spans:
                    waiting.append(pool.submit(self._part, name, start, end))
                    if len(waiting) == AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for part in waiting:
                    part.cancel()

    @_told
    def _part(self, name: str, start: int, end: int) -> bytes:
        return bytes(self._library.get_range(self._client, name, start=start, end=end))

    @_told
    def size(self, name: str) -> int | None:
        return self._library.head(self._client, name)["size"]

    def create(self, name: str, data: bytes) -> bool:
        return self._conditional(name, data, "create")

    def replace(self, name: str, data: bytes, tag: str) -> bool:
        return self._conditional(name, data, {"e_tag": tag})

    @_told
    def upload(self, name: str, path: Path) -> None:
        self._library.put(self._client, name, path, chunk_size=PART, max_concurrency=AHEAD)

    def entries(self, prefix: str) -> list[Entry]:
        return self._entries(prefix) or []

    @_told
    def delete(self, names: Iterable[str]) -> None:
        if names := list(names):
            self._library.delete(self._client, names)

    @_told
    def _entries(self, prefix: str) -> list[Entry]:
        found = chain.from_iterable(self._library.list(self._client, prefix, chunk_size=1000))
        entries = [Entry(meta["path"], meta["size"], meta["last_modified"].timestamp()) for meta in found]
        return sorted(entries, key=lambda entry: entry.name)

    def _conditional(self, name: str, data: bytes, mode: Any) -> bool:
        return bool(self._put(name, data, mode))

    @_told
    def _put(self, name: str, data: bytes, mode: Any) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._library.put(self._client, name, data, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True


def _plain_http(settings: Mapping[str, Any], url: StoreUrl) -> bool:
    """Whether the endpoint is not encrypted, and may be: it is on this machine, or that was asked for."""
    named = (os.environ[name] for name in _ENDPOINTS if os.environ.get(name))
    endpoint = str(settings.get("endpoint") or next(named, ""))
    if not endpoint.startswith("http://"):
        return False
    asked = str(settings.get("allow_http", os.environ.get("AWS_ALLOW_HTTP", ""))).lower() in ("true", "1")
    host = urlsplit(endpoint).hostname or ""
    if asked or host == "localhost" or _is_loopback(host):
        return True
    raise UserError(
        f"store: {url}: the endpoint's address starts with http://; anyone on the way could read the data. "
        "Use https://, or allow it (option allow_http, AWS_ALLOW_HTTP=true)."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_words(error: Exception) -> BucketError:
    """What went wrong, without a word of what was sent."""
    text = str(error)
    code, status = _CODE.search(text), _STATUS.search(text)
    answer = " ".join(part[1] for part in (status, code) if part)
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or answer[:3] in (
        "401",
        "403",
    ):
        return BucketError(errno.EACCES, f"access was refused ({answer or type(error).__name__})")
    if answer:
        return BucketError(errno.EIO, f"the server answered {answer}")
    if "169.254.169.254" in text or "redential" in text:
        return BucketError(errno.EACCES, "no credentials were found")
    return BucketError(errno.EIO, f"the server cannot be reached ({type(error).__name__})")
