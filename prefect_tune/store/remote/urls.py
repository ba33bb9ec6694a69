"""URLs of stores, checked before anything is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from prefect_tune.errors import UserError, did_you_mean

SCHEMES = ("s3",)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@,-]+(/[A-Za-z0-9!_.*'()=+@,-]+)*")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where in which bucket a store lies; `str()` gives the URL."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def parse_url(text: str) -> StoreUrl:
    """The parts of `s3://bucket/prefix`; a slash at the end does not matter.

    Raises UserError for anything else. A URL with credentials is refused without being repeated.
    """
    try:
        parts = urlsplit(text)
        secret = bool(
            parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc
        )
    except ValueError:
        raise UserError("store: this is no URL. Write s3://bucket/prefix.") from None
    if secret:
        raise UserError(
            "store: a URL has the form s3://bucket/prefix, without user, password, query or fragment: it is "
            "written to logs and parameters. Give credentials in the environment or in a block."
        )
    if parts.scheme not in SCHEMES:
        known = did_you_mean(parts.scheme, (*SCHEMES, "file"))
        raise UserError(
            f"store: {text!r}: there is no store for {parts.scheme!r} URLs.{known} Write s3://bucket/prefix, "
            "or the path of a folder."
        )
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise UserError(f"store: {text!r} names no bucket. Write s3://bucket/prefix.")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & {*prefix.split("/")}):
        raise UserError(
            f"store: {text!r}: a prefix is made of letters, digits and !_.*'()=+@,- between single slashes."
        )
    return StoreUrl(parts.scheme, parts.netloc, prefix)


def is_below(url: str, place: str) -> bool:
    """Whether a store lies at that place or in it: `s3://a/b/c` does in `s3://a/b`, `s3://a/bc` does not."""
    return url == place.rstrip("/") or url.startswith(place.rstrip("/") + "/")
