from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING

from processor.actions.build.archive import pack, read_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
FILES = 100
CHUNK = 2 * MIB


class GeneratedArchive:
    """An archive of FILES files of 2 MiB, made while it is read."""

    def __init__(self) -> None:
        deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
        # Compresses about 20 to 1, like a large generated data set.
        content = b"".join(b"%d," % number for number in range(1000)) * 600
        self._content = content[:CHUNK]
        self._parts = self._generate(deflate)
        self._buffer = b""

    def _generate(self, deflate: zlib._Compress) -> Iterator[bytes]:
        for number in range(FILES):
            info = tarfile.TarInfo(f"top/data/{number}.csv")
            info.size = CHUNK
            yield deflate.compress(info.tobuf())
            yield deflate.compress(self._content)
        yield deflate.compress(bytes(1024))
        yield deflate.flush()

    def read(self, size: int, /) -> bytes:
        while len(self._buffer) < size and (part := next(self._parts, None)) is not None:
            self._buffer += part
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def test_an_entry_costs_little() -> None:
    entries = 20_000
    tar = b"".join(tarfile.TarInfo(f"top/directory/{number}").tobuf() for number in range(entries)) + bytes(1024)
    archive = gzip.compress(tar, 1)
    del tar
    with tempfile.TemporaryFile() as spool:
        tracemalloc.start()
        try:
            tree = read_archive(io.BytesIO(archive), spool)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert len(tree.files) == entries
    # 420 bytes, and twice that if tarfile kept its own record.
    assert peak / entries < 640


def test_memory_stays_flat_while_200_mib_go_through() -> None:
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as target:
        tracemalloc.start()
        try:
            tree = read_archive(GeneratedArchive(), spool)
            pack(tree, target)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert len(tree.files) == FILES
        assert spool.seek(0, 2) == FILES * CHUNK
    # The generator's own content is half of it.
    assert peak < 16 * MIB
