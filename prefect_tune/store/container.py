"""One blob: a small JSON header, then segments of raw bytes, each at a multiple of 64.

    8 bytes magic · u64-LE length of the header · header · zeros · segment 0 · zeros · segment 1 …

Offsets count from the first segment's place, the header's end rounded up to 64. Unaligned maps gave wrong
results and crashes elsewhere (joblib#563), hence the 64. The parser trusts nothing: a length or an offset
that does not fit the bytes is `BadBlob`.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

MAGIC = b"PTBLOB1\n"
ALIGN = 64
MAX_HEADER = 1 << 24

Bytes = bytes | memoryview
Source = mmap.mmap | np.ndarray  # a map, or one-dimensional uint8 that starts at a multiple of 64


class BadBlob(ValueError):
    """Bytes that are no blob of this version, whatever their digest says."""


def _up(position: int) -> int:
    return -(-position // ALIGN) * ALIGN


def pack(codec: str, meta: dict, segments: Sequence[Bytes]) -> list[Bytes]:
    """Buffers that make up the blob when written one after the other; segments are not copied."""
    spans, end = [], 0
    for segment in segments:
        size = len(segment)
        spans.append([_up(end), size])
        end = _up(end) + size
    header = orjson.dumps({"codec": codec, "meta": meta, "segments": spans})
    if len(header) > MAX_HEADER:
        raise ValueError(f"{codec}: a header of {len(header)} bytes is too large.")
    head = MAGIC + len(header).to_bytes(8, "little") + header
    buffers: list[Bytes] = [head.ljust(_up(len(head)), b"\0")]
    end = 0
    for (start, size), segment in zip(spans, segments, strict=True):
        if start > end:
            buffers.append(bytes(start - end))
        buffers.append(segment)
        end = start + size
    return buffers


def unpack(codec: str, source: Source) -> tuple[dict, list[tuple[int, int]]]:
    """The header's `meta`, and offset and size of each segment; BadBlob unless `codec` wrote it."""
    total = len(source)
    if total < 16 or bytes(source[:8]) != MAGIC:
        raise BadBlob("no blob of this version")
    length = int.from_bytes(bytes(source[8:16]), "little")
    if length > min(MAX_HEADER, total - 16):
        raise BadBlob("the header is longer than the file")
    try:
        header = orjson.loads(bytes(source[16 : 16 + length]))
        found, meta, spans = header["codec"], header["meta"], header["segments"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadBlob("the header is no JSON of ours") from error
    if found != codec or type(meta) is not dict or type(spans) is not list:
        raise BadBlob(f"the record says {codec!r}, the blob {found!r}")
    first, places = _up(16 + length), []
    for span in spans:
        if type(span) is not list or len(span) != 2 or any(type(part) is not int for part in span):
            raise BadBlob("a segment without place")
        start, size = span
        if start < 0 or size < 0 or start % ALIGN or (size and first + start + size > total):
            raise BadBlob("a segment beyond the end")
        places.append((min(first + start, total), size))
    return meta, places


def aligned(data: bytes, writable: bool) -> np.ndarray:
    """A copy of small `data` that starts at a multiple of 64, for blobs that are not worth a map."""
    room = np.empty(len(data) + ALIGN, dtype=np.uint8)
    skip = -room.ctypes.data % ALIGN
    out: Any = room[skip : skip + len(data)]
    out[:] = np.frombuffer(data, dtype=np.uint8)
    out.flags.writeable = writable
    return out
