"""What strangers put into their repositories: archives, sources, patches."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO

from processor.actions.build.archive import ArchiveRefused, File, Limits, Symlink, Tree, pack, read_archive
from processor.actions.build.syntax import NotChecked, SyntaxProblem, check, language
from processor.actions.synchronize.diff import examine
from pullrequest.changed_file import ChangedFile
from pullrequest.errors import WorkError
from tests.fuzz.source import Source
from tests.fuzz.watch import watched
from tests.unit.processor.fakes import a_tar, an_archive, member

if TYPE_CHECKING:
    from collections.abc import Iterator

# Small, so that every limit is within reach of a small input.
LIMITS = Limits(
    compressed_bytes=32_768,
    uncompressed_bytes=262_144,
    entries=40,
    file_bytes=65_536,
    ratio=20,
    ratio_floor_bytes=131_072,
)
BLOCK = 512
REPORT_MAX_BYTES = 48 * 1024

PARTS = (
    "a", "b", "a", "b", "t", "..", ".", "", ".git", ".GIT", "ä", "\n", "\0", "\udcff", "c:", "\\", "...", "~", "x" * 99,
    "x" * 300, "-rf", "CON", "\u202e", "a.py", "a.json", "a.yaml", "a.toml",
)  # fmt: skip
KINDS = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE)
# Kept apart: most of them get the whole archive refused, and hide what comes behind them.
ODD_KINDS = (
    tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE,
    tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
    tarfile.SOLARIS_XHDTYPE, b"Z",
)  # fmt: skip
PAX_KEYS = (
    "path", "linkpath", "size", "mtime", "hdrcharset", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.map",
    "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size", "comment",
)  # fmt: skip


def spool(*_: Any) -> BinaryIO:
    """A temporary file in memory: ten times as fast as one on disk."""
    return io.BytesIO()


# --- archives


def archive_seeds() -> list[bytes]:
    files = {"README.md": b"hello\n" * 50, "src/a.py": b"x = 1\n", "c.json": b"{}"}
    real = an_archive(files)
    tar = gzip.decompress(real)
    long = a_tar(
        member("t", type=tarfile.DIRTYPE),
        member("t/" + "d/" * 80 + "ä", b"x"),
        member("t/l", type=tarfile.SYMTYPE, linkname="d/" * 60),
        pax_headers={"comment": "c" * 40},
    )
    gnu = a_tar(member("t/" + "d/" * 80 + "e", b"x"), format=tarfile.GNU_FORMAT)
    structured = [bytes([0, 0, count, *range(count * 9)]) for count in (1, 2, 5, 12)]
    return [*structured, *(b"\1" + raw for raw in (tar, long, gnu)), b"\2" + real, b"\2" + real[:-9], b"\2" + real * 2]


def archive(data: bytes) -> str:
    """A tarball: a tree that stays where it is put, or a refusal; within its limits and without a trace on disk."""
    raw = an_archive_of(Source(data))
    stream, target = _Counted(raw), io.BytesIO()
    with watched() as output:
        try:
            tree = read_archive(stream, target, limits=LIMITS)
        except (ArchiveRefused, WorkError) as refusal:
            # In our own words.
            check_text(refusal, 100)
            tree = None
        packed = None if tree is None else io.BytesIO()
        again = io.BytesIO()
        if tree is not None and packed is not None:
            digest = pack(tree, packed)
            assert digest == pack(tree, again)
            assert packed.getvalue() == again.getvalue()
            assert digest.sha256 == hashlib.sha256(packed.getvalue()).hexdigest()
    assert not output.getvalue()
    assert len(target.getvalue()) <= LIMITS.uncompressed_bytes
    assert stream.largest_request <= 1 << 20
    if tree is None or packed is None:
        return "refused"
    check_tree(tree)
    check_bundle(packed.getvalue(), tree)
    return (
        f"{min(len(tree.files), 3)} files, {min(len(tree.symlinks), 2)} links, {min(tree.left_out_count, 1)} left out"
    )


def check_text(error: Exception, limit: int) -> None:
    """An error's text is one printable line of less than so many characters.

    Raises:
        AssertionError: otherwise.
    """
    assert len(str(error)) < limit, str(error)
    assert str(error).isprintable(), ascii(str(error))


class _Counted:
    """An archive on its way; remembers how much of it was asked for at once."""

    def __init__(self, raw: bytes) -> None:
        self._raw = io.BytesIO(raw)
        self.largest_request = 0

    def read(self, size: int, /) -> bytes:
        self.largest_request = max(self.largest_request, size)
        # Networks give less than what was asked for.
        return self._raw.read(min(size, 1000))


def check_tree(tree: Tree) -> None:
    """Whatever the archive was, its tree is safe to unpack and is what its index says.

    Raises:
        AssertionError: otherwise.
    """
    taken: list[File | Symlink] = [*tree.files, *tree.symlinks]
    assert len(taken) + tree.left_out_count <= LIMITS.entries
    assert len(tree.left_out) == min(tree.left_out_count, 1000)
    paths = {entry.path for entry in taken}
    assert len(paths) == len(taken)
    links = {link.path: link.target for link in tree.symlinks}
    for path in paths:
        parts = path.split("/")
        assert {"", ".", ".."}.isdisjoint(parts), path
        assert ".git" not in (part.lower() for part in parts), path
        assert len(path.encode()) <= 1024
        assert not any(character < " " or character == "\x7f" for character in path), path
        assert not any("/".join(parts[:end]) in paths for end in range(1, len(parts))), f"{path} is below a file"
        walk(path, links)
    for file in tree.files:
        content = tree.read(file)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    for entry in tree.left_out:
        assert entry.path.isprintable()
        assert len(entry.path.encode()) <= 256


def check_bundle(bundle: bytes, tree: Tree) -> None:
    """A packed tree has the tree's entries and no other, and Python's own filter for hostile archives takes them all.

    Raises:
        AssertionError, tarfile.FilterError: otherwise.
    """
    with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:gz", encoding="utf-8", errors="strict") as tar:
        members = tar.getmembers()
    assert [entry.name for entry in members] == sorted(
        [file.path for file in tree.files] + [link.path for link in tree.symlinks]
    )
    for entry in members:
        assert entry.isreg() or entry.issym()
        assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, 0, "", "")
        # A directory that is not there: the filter looks, and must find nothing to follow.
        assert tarfile.data_filter(entry, "/nonexistent/pullback").name == entry.name


def walk(path: str, links: dict[str, str]) -> None:
    """Opens a path as a kernel would, in a tree with these links.

    Raises:
        AssertionError: it leads out of the tree.
    """
    place: list[str] = []
    left, followed = deque(path.split("/")), 0
    while left:
        part = left.popleft()
        if part == "..":
            assert place, f"{path} leads out of the tree"
            place.pop()
        elif part not in ("", "."):
            place.append(part)
            if (target := links.get("/".join(place))) is not None:
                followed += 1
                # Linux gives up after 40.
                if followed > 40:
                    return
                assert not target.startswith("/"), f"{path} leads out of the tree"
                place.pop()
                left.extendleft(reversed(target.split("/")))


def an_archive_of(source: Source) -> bytes:
    """An archive out of a fuzzer's bytes: built entry by entry, or a damaged one, or just bytes."""
    match source.below(3):
        case 0:
            tar = bytearray(_built(source))
            for _ in range(source.below(4) if source.rarely() else 0):
                tar[source.below(len(tar))] = source.byte()
            _mend(tar)
        case 1:
            tar = bytearray(source.rest())
            _mend(tar)
        case _:
            return source.rest()
    return _zipped(tar, source)


def _zipped(tar: bytearray, source: Source) -> bytes:
    """The archive compressed, and one time in four damaged before that, or after."""
    match source.below(8):
        case 1:
            del tar[source.below(len(tar) + 1) :]
        case 2:
            tar += source.block(2000)
        case 3:
            # Nothing but zeros, as a bomb has them.
            tar += bytes(1024 * source.below(1024))
        case _:
            pass
    zipped = bytearray(gzip.compress(bytes(tar), compresslevel=1, mtime=0))
    match source.below(8):
        case 1:
            del zipped[source.below(len(zipped) + 1) :]
        case 2:
            zipped += source.block(200)
        case 3:
            half = len(tar) // 2
            zipped = bytearray(gzip.compress(bytes(tar[:half])) + gzip.compress(bytes(tar[half:])))
        case 4:
            zipped[source.below(len(zipped))] = source.byte()
        case _:
            pass
    return bytes(zipped)


def _built(source: Source) -> bytes:
    formats = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    format_ = source.pick(formats)
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=format_, errors="surrogateescape") as tar:
        for _ in range(source.below(50)):
            try:
                info, content = _entry(source)
                tar.addfile(info, io.BytesIO(content))
            except (ValueError, UnicodeError):
                # USTAR has no room for it, or PAX no way to write it.
                continue
    return output.getvalue()


def _entry(source: Source) -> tuple[tarfile.TarInfo, bytes]:
    kind = source.pick(ODD_KINDS if source.rarely() else KINDS)
    name = _path(source)
    content = b""
    if kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE) and not source.rarely():
        content = b"".join(_pax_record(source) for _ in range(source.below(4)))
    elif kind not in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE) or source.rarely():
        content = source.block(700) * (source.below(200) if source.rarely() else 1)
    info, content = member(name, content, type=kind, mode=source.pick((0o644, 0o755, 0o7777, 0)))
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "/".join(source.pick(_TARGET_PARTS) for _ in range(source.below(6)))
    if source.rarely():
        info.pax_headers = {source.pick(PAX_KEYS): source.pick(_PAX_VALUES)}
    return info, content


# Few and often the same, so that links meet files, folders and one another.
_TARGET_PARTS = ("..", "a", "..", "b", "t", ".", "", "ä", "a.py", "\n", "\udcff", "x" * 300)
_PAX_VALUES = (
    "0",
    "1",
    "-1",
    "-512",
    "99999999999",
    "t/a",
    "../x",
    "/etc/passwd",
    "",
    "1,2,3",
    "BINARY",
    "\udcff",
    "é",
)


def _pax_record(source: Source) -> bytes:
    pair = f"{source.pick(PAX_KEYS)}={source.pick(_PAX_VALUES)}\n".encode("utf-8", "surrogateescape")
    size = len(pair) + 3
    length = source.pick((size, size, size, size, 5, 0, 10**9))
    return b"%d " % length + pair


def _path(source: Source) -> str:
    parts = [source.pick(PARTS) if not source.rarely() else source.text(30) for _ in range(source.below(5))]
    return "/".join([source.pick(("t", "t", "t", "t", "t", "", "..", "u")), *parts])


def _mend(tar: bytearray) -> None:
    """Gives every header a right checksum: damage would not get beyond a wrong one."""
    for offset in range(0, len(tar) - BLOCK + 1, BLOCK):
        if tar[offset + 257 : offset + 262] == b"ustar":
            tar[offset + 148 : offset + 156] = b" " * 8
            total = sum(tar[offset : offset + BLOCK])
            tar[offset + 148 : offset + 156] = b"%06o\0 " % total


# --- sources

PATHS = (
    "a.json",
    "b.toml",
    "c.yaml",
    "d.py",
    "e.yml",
    "f.pyi",
    "tsconfig.json",
    "templates/g.yaml",
    "h.txt",
    "{{i}}.py",
)


def syntax_seeds() -> list[bytes]:
    samples = {
        0: [b'{"a": [1, 2.5e3, "\\u00e9", null]}', b"[[[[", b'{"a": NaN}'],
        1: [b'[a.b]\nc = "d"\ne = 1979-05-27T07:32:00Z\n', b"a = [{b = 1}]", b"a.b.c.d = '''"],
        2: [b"a: &x [1, *x]\nb: !!python/name:os.system\n---\n? [c]\n: |\n  text\n", b"- - - -\n{a: ["],
        3: [b"def f(x: int) -> str:\n    return f'{x!r:>{10}}'\n", b"# coding: latin-1\nx = '\xe4'\n", b"((((", b"\0"],
    }
    plain = [bytes([kind, 0]) + text for kind, texts in samples.items() for text in texts]
    repeated = [bytes([kind, 7, 8, 0, len(text)]) + text for kind, texts in samples.items() for text in texts]
    return [*plain, *repeated]


def syntax(data: bytes) -> str:
    """A source file: nothing but a verdict."""
    source = Source(data)
    path = source.pick(PATHS)
    if source.rarely():
        times = source.below(1024)
        content = (source.block(64) * times)[:8192] + source.rest()
    else:
        content = source.rest()
    with watched() as output:
        try:
            problem = check(path, content)
        except NotChecked:
            return f"{language(path)} not checked"
    assert not output.getvalue()
    if problem is None:
        return f"{language(path)} fine"
    assert problem == SyntaxProblem(language(path) or "", problem.line)
    # Parsers count lines in more ways than one: by \r, \f and the like.
    assert problem.line is None or 1 <= problem.line <= len(content) + 2
    return f"{problem.kind} problem"


# --- patches


def diff_seeds() -> list[bytes]:
    patch = b"@@ -1,2 +1,3 @@\n a\n-b\n+c\n+<<<<<<< x\n\\ No newline at end of file"
    return [b"", *(bytes([count, *([3, 0, 5, 1, 0, 0, len(patch), *patch] * count)]) for count in (1, 2, 3))]


def diff(data: bytes) -> str:
    """A list of changed files: a bounded report, whatever is in the patches."""
    files = changed_files_of(Source(data))
    with watched() as output:
        report = examine(files)
        again = examine(files)
    assert not output.getvalue()
    text = repr(report.to_dict())
    assert text == repr(again.to_dict())
    assert len(text.encode("utf-8")) <= REPORT_MAX_BYTES
    assert report.files == len(files)
    assert report.summary().isprintable()
    assert len(report.summary()) <= 1024
    return f"{min(len(report.sensitive), 2)} kinds of paths, {min(len(report.problems), 2)} kinds of problems"


def changed_files_of(source: Source) -> list[ChangedFile]:
    """Changed files out of a fuzzer's bytes."""
    return list(_changed_files(source))


_CHANGED = (".github/workflows/a.yml", "Dockerfile", "uv.lock", "CODEOWNERS", "a/b.c", "a", "\x1b[31m\u202e", "é" * 90)
_STATUSES = ("modified", "added", "removed", "renamed", "unchanged", "")
_LINES = (
    "@@ -1,3 +1,4 @@", "@@ -0,0 +1 @@", "@@ -1,0 +9999999999,9999999999 @@", "@@", "--- a/x", "+++ b/y", "+<<<<<<< a",
    "+=======", "+>>>>>>> b", " x", "-y", "+z", "+" + "w" * 6000, "\\ No newline at end of file", "", "+\udcff", "diff",
    "rename from a", "Binary files a and b differ", "+a\rb", "+\x0c", "+\u2028", "GIT binary patch",
)  # fmt: skip


def _changed_files(source: Source) -> Iterator[ChangedFile]:
    for _ in range(source.below(30)):
        path = source.pick(_CHANGED) if not source.rarely() else source.text(40) or "a"
        patch: str | None = None
        match source.below(4):
            case 0:
                patch = "\n".join(source.pick(_LINES) for _ in range(source.below(20)))
            case 1:
                patch = source.text(2000)
            case _:
                pass
        yield ChangedFile(
            path,
            source.pick(_STATUSES),
            source.pick((0, 1, 3, 600, 6000, 10**9)),
            source.pick((0, 1, 10**9)),
            patch,
            source.pick((None, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "x")),
            source.pick((None, "uv.lock", "\ud800")),
        )
