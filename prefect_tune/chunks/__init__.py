"""Data in chunks: what a training call sees at once, named by content and read where it is needed.

Rule 1: a chunk is known by what is in it (X, y and the per-row arguments), never by its position or path, so
appended data keeps the chunks that were there.
Rule 2: the boundaries count: the same rows cut otherwise are other chunks, as `partial_fit` sees them.
Rule 3: only references travel. A process reads the one chunk it works on, and no file is ever mapped or
loaded whole unless it is that chunk.
Rule 4: which rows of a chunk train and which validate follows from its seed and its length alone; the order
of the calls is planned before the first one.
"""

from __future__ import annotations

from prefect_tune.chunks.explicit import explicit_split
from prefect_tune.chunks.model import Chunk, ChunkedData, ChunkRows, ParquetRows, StoredRows
from prefect_tune.chunks.opening import open_chunks
from prefect_tune.chunks.read import read_chunk
from prefect_tune.chunks.split import Split, plan_split

__all__ = [
    "Chunk",
    "ChunkRows",
    "ChunkedData",
    "ParquetRows",
    "Split",
    "StoredRows",
    "explicit_split",
    "open_chunks",
    "plan_split",
    "read_chunk",
]
