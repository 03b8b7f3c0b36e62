"""Reads a repository's archive without ever unpacking it, and packs it again, always to the same bytes.

Nothing of an archive becomes a path on disk: the contents of all files go one after the other into one spool file, and
an index remembers what is where. Memory stays flat however large the archive is.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from pullrequest.errors import GitHubUnavailable
from pullrequest.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from pullrequest.github import ByteStream

MAX_FILE_BYTES = 100 * 1024 * 1024
"""GitHub takes no larger file into a repository."""

MAX_NAME_BYTES = 255
"""Of one part of a path: file systems take no longer one, and the bundle is to be unpacked."""

MAX_PATH_BYTES = 1024
"""A path that most systems can still open below some directory of their own (Linux: 4,096, macOS: 1,024)."""

MAX_LISTED_LEFT_OUT = 1000
"""Entries that are listed as left out; the rest is counted."""

_MAX_EXTENDED_HEADER_BYTES = 1024 * 1024
_MAX_GLOBAL_HEADER_BYTES = 8 * 1024
"""tarfile reads extended headers into memory by their declared size, and copies global ones to each entry. ``git
archive`` writes the commit's id into one global header: 52 bytes."""

_CHUNK_BYTES = 256 * 1024
_MALFORMED = "the archive is not a well-formed gzip-compressed tar archive"
_GNU_AND_PAX = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)


class ArchiveRefused(Exception):
    """The archive is beyond one of our limits. The message is in our own words.

    Args:
        message: what it has.
        limit: the limit's name, and
        value: its value.
    """

    def __init__(self, message: str, limit: str, value: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may have; beyond any of these it is refused as a whole.

    The defaults fit the function: the spool and the bundle together stay below its 4 GiB of disk, the index below
    200 MB of memory, and packing the largest archive takes about two minutes of its ten.
    """

    compressed_bytes: int = 256 * 1024 * 1024
    uncompressed_bytes: int = 1024 * 1024 * 1024
    entries: int = 100_000
    file_bytes: int = MAX_FILE_BYTES
    ratio: int = 100
    """Uncompressed to compressed. Source code has 3 to 10, deflate can do 1,032."""
    ratio_floor_bytes: int = 64 * 1024 * 1024
    """Up to here any ratio passes: small repositories may well consist of one repetitive file."""

    def by_name(self) -> dict[str, int]:
        """Every limit by which an archive can be refused, with its value."""
        return {
            **asdict(self),
            "extended_header_bytes": _MAX_EXTENDED_HEADER_BYTES,
            "global_header_bytes": _MAX_GLOBAL_HEADER_BYTES,
        }


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the tree."""

    path: str
    offset: int
    size: int
    sha256: str
    executable: bool

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link of the tree, whose target is inside the tree. Never followed."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry of the archive that did not become part of the tree."""

    path: str
    """For display only."""
    reason: str


@dataclass(slots=True)
class Tree:
    """What an archive holds below its top directory."""

    spool: BinaryIO
    files: list[File] = field(default_factory=list)
    symlinks: list[Symlink] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0

    def read(self, file: File) -> bytes:
        """The file's content, in memory: look at ``file.size`` first."""
        self.spool.seek(file.offset)
        return self.spool.read(file.size)

    def leave_out(self, path: str, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < MAX_LISTED_LEFT_OUT:
            self.left_out.append(LeftOut(printable(path, 256), reason))


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 in hex, and size in bytes, of what was written."""

    sha256: str
    size: int


def read_archive(
    stream: ByteStream, spool: BinaryIO, *, checkpoint: Callable[[], None] = lambda: None, limits: Limits | None = None
) -> Tree:
    """Reads a gzip-compressed tar archive with one top directory, such as GitHub's tarball of a commit.

    Args:
        stream: the archive, read once from start to end.
        spool: an empty file, open for writing and reading; takes the contents.
        checkpoint: called for each entry and each chunk; may raise.
        limits: other limits than the default ones.

    Returns:
        The tree, sorted by path. What is unsafe or ambiguous is left out of it, with a reason.

    Raises:
        ArchiveRefused: it exceeds a limit. Reading stops at that point.
        GitHubUnavailable: it was cut on its way, or is none: GitHub packs no archive that cannot be read, so something
            else was sent in its place, and says nothing about the pull request.
    """
    limits = limits or Limits()
    inflated = _Inflated(stream, limits, checkpoint)
    reader = _Reader(spool, limits, checkpoint)
    try:
        with tarfile.open(
            fileobj=cast("BinaryIO", inflated),
            mode="r|",
            bufsize=_CHUNK_BYTES,
            tarinfo=_Entry,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            while (member := tar.next()) is not None:
                # tarfile remembers every member; 100,000 of them would be most of our memory.
                tar.members.clear()  # type: ignore[attr-defined]
                reader.take(tar, member)
        # Up to the checksum at the end of the compressed data.
        while inflated.read(_CHUNK_BYTES):
            pass
    except (tarfile.TarError, zlib.error, ValueError, OverflowError, RecursionError):
        # The parsers' texts may quote the archive. RecursionError: headers that announce headers, without end.
        raise GitHubUnavailable(_MALFORMED) from None
    return reader.tree()


def pack(tree: Tree, target: BinaryIO, checkpoint: Callable[[], None] = lambda: None) -> Digest:
    """Writes the tree as a gzip-compressed tar archive: the same tree gives the same bytes.

    Owners, times and the order of the original are gone, and of the modes only whether a file is executable is left.

    Args:
        tree: what to pack.
        target: where to write it, from its current position on.
        checkpoint: called for each entry; may raise.
    """
    hashing = HashingWriter(target)
    entries: list[File | Symlink] = sorted([*tree.files, *tree.symlinks], key=lambda entry: entry.path)
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=cast("BinaryIO", hashing), mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
    ):
        for entry in entries:
            checkpoint()
            # A new TarInfo has time 0, user and group 0, and no names.
            info = tarfile.TarInfo(entry.path)
            if isinstance(entry, File):
                info.size, info.mode = entry.size, entry.mode
                tree.spool.seek(entry.offset)
                tar.addfile(info, tree.spool)
            else:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
                tar.addfile(info)
            tar.members.clear()  # type: ignore[attr-defined]
    return hashing.digest()


HARMLESS = frozenset(
    {
        "link to an absolute path",
        "link out of the tree",
        "link target is not plain",
        "path has control characters",
        "path is not UTF-8",
        "path is too long",
    }
)
"""Why something is left out that many a repository has, and that nobody misses: a note, not a fault."""


def path_fault(path: str) -> str | None:
    """Why a path is not taken, or None. Paths that pass are relative, plain, and in UTF-8."""
    if path.startswith("/"):
        return "absolute path"
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "path is not UTF-8"
    if len(raw) > MAX_PATH_BYTES:
        return "path is too long"
    if _has_control_characters(path):
        return "path has control characters"
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "path is not plain"
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return "path is too long"
    if any(part.lower() == ".git" for part in parts):
        # Whoever unpacks the bundle over a repository would let it configure git.
        return "path is git's own"
    return None


def link_fault(path: str, target: str) -> str | None:
    """Why a symbolic link is not taken, or None. ``path`` has passed ``path_fault``."""
    if target.startswith("/"):
        return "link to an absolute path"
    if not target or _has_control_characters(target) or not _is_utf8(target) or len(target) > MAX_PATH_BYTES:
        return "link target is not plain"
    # What stands for the place itself leads nowhere else.
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    # Only leading "..": behind a name, which may itself be a link, it leads wherever that link leads.
    if ".." in parts[up:]:
        return "link target is not plain"
    if up > path.count("/"):
        return "link out of the tree"
    return None


class _Reader:
    """Collects the entries of an archive."""

    def __init__(self, spool: BinaryIO, limits: Limits, checkpoint: Callable[[], None]) -> None:
        self._tree = Tree(spool)
        self._limits = limits
        self._checkpoint = checkpoint
        self._top: str | None = None
        self._entries = 0
        self._found: dict[str, File | Symlink] = {}

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Takes one entry, or leaves it out."""
        self._checkpoint()
        self._entries += 1
        if self._entries > self._limits.entries:
            raise _too_many("entries", self._limits.entries)
        # Before anything else: tarfile skips the data of entries that nobody reads, by this size.
        if not 0 <= member.size <= self._limits.file_bytes:
            raise _too_large_a_file(self._limits.file_bytes)
        path, fault = self._inner_path(member)
        if path == "" and not fault:
            return
        fault = fault or self._fault(path, member)
        if fault:
            self._tree.leave_out(path or member.name, fault)
        elif member.isreg():
            self._found[path] = self._spool(tar, path, member)
        elif member.issym():
            self._found[path] = Symlink(path, member.linkname)

    def tree(self) -> Tree:
        """The tree of all entries taken, sorted."""
        kept = ""
        # With a slash behind each path, everything below a path follows directly after it.
        for path, entry in sorted(self._found.items(), key=lambda item: f"{item[0]}/"):
            if kept and path.startswith(f"{kept}/"):
                # Unpacking would have to replace one with the other, or write through a link.
                self._tree.leave_out(path, "path is below a file or a link")
                continue
            kept = path
            if isinstance(entry, File):
                self._tree.files.append(entry)
            else:
                self._tree.symlinks.append(entry)
        self._tree.files.sort(key=lambda file: file.path)
        self._tree.symlinks.sort(key=lambda link: link.path)
        return self._tree

    def _inner_path(self, member: tarfile.TarInfo) -> tuple[str, str | None]:
        """The path below the top directory, empty for the directory itself; and why it is not taken."""
        if fault := path_fault(member.name):
            return member.name, fault
        top, _, path = member.name.partition("/")
        self._top = self._top or top
        if top != self._top or (not path and not member.isdir()):
            return member.name, "outside the top directory"
        return path, None

    def _fault(self, path: str, member: tarfile.TarInfo) -> str | None:
        if member.isdir():
            return None
        if path in self._found:
            return "path occurs twice"
        if member.issym():
            return link_fault(path, member.linkname)
        if member.islnk():
            return "hard link"
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            return "not a regular file"
        return None

    def _spool(self, tar: tarfile.TarFile, path: str, member: tarfile.TarInfo) -> File:
        spool = self._tree.spool
        offset = spool.tell()
        digest = hashlib.sha256()
        source = tar.extractfile(member)
        assert source is not None  # noqa: S101 - it is a regular file
        with source:
            while chunk := source.read(_CHUNK_BYTES):
                self._checkpoint()
                digest.update(chunk)
                spool.write(chunk)
        return File(path, offset, member.size, digest.hexdigest(), bool(member.mode & 0o100))


class _Entry(tarfile.TarInfo):
    """A header that refuses what tarfile would read into memory, skip without end, or silently take as the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError:
            # Between two entries tarfile takes a broken header for the end of the archive.
            raise GitHubUnavailable(_MALFORMED) from None

    # The hook that TarInfo's source names for subclasses.
    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        # Here too: an extended header can hide this size, by which tarfile skips to the next entry, behind another one.
        if not 0 <= self.size <= MAX_FILE_BYTES:
            raise _too_large_a_file(MAX_FILE_BYTES)
        if self.type in _GNU_AND_PAX and self.size > _MAX_EXTENDED_HEADER_BYTES:
            raise ArchiveRefused("it has an oversized header", "extended_header_bytes", _MAX_EXTENDED_HEADER_BYTES)
        if self.type == tarfile.XGLTYPE:
            held = sum(len(name) + len(value) for name, value in tarfile_.pax_headers.items())
            if held + self.size > _MAX_GLOBAL_HEADER_BYTES:
                raise ArchiveRefused("it has an oversized header", "global_header_bytes", _MAX_GLOBAL_HEADER_BYTES)
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse()
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]

    def _refuse_sparse(self, *_: object) -> None:
        # Their maps have no bound, and git archives have none of them.
        raise GitHubUnavailable("the archive has a sparse file, which git does not write")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


class _Inflated:
    """The uncompressed bytes of a gzip stream, within limits."""

    def __init__(self, stream: ByteStream, limits: Limits, checkpoint: Callable[[], None]) -> None:
        self._stream = stream
        self._limits = limits
        self._checkpoint = checkpoint
        self._inflater = _inflater()
        self._pending = b""
        self._compressed = 0
        self._uncompressed = 0

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than ``size`` at the end only."""
        parts = []
        while size > 0 and (part := self._next(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _next(self, size: int) -> bytes:
        while True:
            if self._inflater.eof:
                # Another member may follow: a gzip stream is a sequence of them.
                self._pending = self._inflater.unused_data or self._fill()
                if not self._pending:
                    return b""
                self._inflater = _inflater()
            self._pending = self._pending or self._fill()
            at_end = not self._pending
            part = self._inflater.decompress(self._pending, size)
            self._pending = self._inflater.unconsumed_tail
            if part:
                self._count(len(part))
                return part
            if at_end and not self._inflater.eof:
                raise GitHubUnavailable("the archive ended early")

    def _fill(self) -> bytes:
        self._checkpoint()
        data = self._stream.read(_CHUNK_BYTES)
        self._compressed += len(data)
        if self._compressed > self._limits.compressed_bytes:
            raise _too_many("bytes", self._limits.compressed_bytes, "compressed_bytes")
        return data

    def _count(self, size: int) -> None:
        self._uncompressed += size
        if self._uncompressed > self._limits.uncompressed_bytes:
            raise _too_many("bytes when uncompressed", self._limits.uncompressed_bytes, "uncompressed_bytes")
        allowed = max(self._limits.ratio_floor_bytes, self._limits.ratio * self._compressed)
        if self._uncompressed > allowed:
            raise ArchiveRefused(
                f"it grows to more than {self._limits.ratio:,} times its size when uncompressed",
                "ratio",
                self._limits.ratio,
            )


def _too_many(what: str, limit: int, name: str = "entries") -> ArchiveRefused:
    return ArchiveRefused(f"it has more than {limit:,} {what}", name, limit)


def _too_large_a_file(limit: int) -> ArchiveRefused:
    return ArchiveRefused(f"it has a file of more than {limit:,} bytes", "file_bytes", limit)


def _inflater() -> zlib._Decompress:
    # 16: with gzip's header and checksum.
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


class HashingWriter:
    """Writes to a file, and hashes what it writes."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: Buffer) -> int:
        block = memoryview(data)
        self._hash.update(block)
        self._size += block.nbytes
        return self._target.write(block)

    def flush(self) -> None:
        self._target.flush()

    def digest(self) -> Digest:
        return Digest(self._hash.hexdigest(), self._size)


def _has_control_characters(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
