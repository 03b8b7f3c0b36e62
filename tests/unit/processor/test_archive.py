from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.actions.build.archive import (
    MAX_FILE_BYTES,
    MAX_LISTED_LEFT_OUT,
    MAX_PATH_BYTES,
    ArchiveRefused,
    File,
    Limits,
    Symlink,
    Tree,
    link_fault,
    pack,
    path_fault,
    read_archive,
)
from pullrequest.errors import GitHubUnavailable
from tests.unit.processor.fakes import a_tar, an_archive, member

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMLINK = tarfile.SYMTYPE
SMALL = Limits(compressed_bytes=10_000, entries=10, file_bytes=20_000, uncompressed_bytes=50_000)


def read(data: bytes, limits: Limits | None = None) -> Tree:
    return read_archive(io.BytesIO(data), io.BytesIO(), limits=limits)


def read_members(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> Tree:
    return read(gzip.compress(a_tar(*members, **options)))


def left_out(tree: Tree) -> list[tuple[str, str]]:
    return [(entry.path, entry.reason) for entry in tree.left_out]


def packed(tree: Tree) -> bytes:
    output = io.BytesIO()
    digest = pack(tree, output)
    assert digest.sha256 == hashlib.sha256(output.getvalue()).hexdigest()
    assert digest.size == len(output.getvalue())
    return output.getvalue()


def header(size: bytes = b"00000000000\0", kind: bytes = b"0", name: bytes = b"top/a") -> bytes:
    """A tar header that tarfile itself would not write."""
    fields = (name, b"644", b"0", b"0", size, b"0", b" " * 8, kind, b"", b"ustar\0", b"00")
    block = bytearray(struct.pack("100s8s8s8s12s12s8s1s100s6s2s247x", *fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_files_are_indexed_below_the_top_directory() -> None:
    tree = read(an_archive({"b.txt": b"two", "a/x.py": b"one", "empty": b""}))

    assert [(file.path, tree.read(file)) for file in tree.files] == [
        ("a/x.py", b"one"),
        ("b.txt", b"two"),
        ("empty", b""),
    ]
    assert tree.files[0].sha256 == hashlib.sha256(b"one").hexdigest()
    assert tree.left_out_count == 0


def test_of_the_modes_only_executable_is_kept() -> None:
    tree = read_members(member("t/a", mode=0o6777), member("t/b", mode=0o600), member("t/c", mode=0o100))

    assert [f"{file.mode:o}" for file in tree.files] == ["755", "644", "755"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/etc/passwd", "absolute path"),
        ("..", "path is not plain"),
        ("t/../../x", "path is not plain"),
        ("t/./x", "path is not plain"),
        ("t//x", "path is not plain"),
        ("", "path is not plain"),
        (".", "path is not plain"),
        ("t/a\nb", "path has control characters"),
        ("t/a\0b", "path has control characters"),
        ("t/\x7f", "path has control characters"),
        ("t/\udcff", "path is not UTF-8"),
        ("t/" + "x" * MAX_PATH_BYTES, "path is too long"),
        ("t/.git/config", "path is git's own"),
        ("t/sub/.GIT/hooks/post-checkout", "path is git's own"),
        ("t/...", None),
        ("t/.gitignore", None),
        ("t/ä b\\c:d", None),
        ("t/-rf *", None),
    ],
)
def test_paths(path: str, fault: str | None) -> None:
    assert path_fault(path) == fault


@pytest.mark.parametrize(
    ("path", "target", "fault"),
    [
        ("a", "b", None),
        ("a", "b/c/", None),
        ("a", ".", None),
        ("x/y/a", "../../b", None),
        ("x/a", "..", None),
        ("a", "..", "link out of the tree"),
        ("x/a", "../../b", "link out of the tree"),
        ("a", "/etc/passwd", "link to an absolute path"),
        ("x/a", "b/../../../etc", "link target is not plain"),
        ("a", "b/..", "link target is not plain"),
        ("a", "", "link target is not plain"),
        ("a", "b\n", "link target is not plain"),
        ("a", "\udcff", "link target is not plain"),
        ("a", "x" * 2000, "link target is not plain"),
    ],
)
def test_link_targets(path: str, target: str, fault: str | None) -> None:
    assert link_fault(path, target) == fault


def test_unsafe_entries_are_left_out_with_a_reason() -> None:
    tree = read_members(
        member("t/ok", b"fine"),
        member("/absolute", b"x"),
        member("t/../../escape", b"x"),
        member("t/out", type=SYMLINK, linkname="../../etc/passwd"),
        member("t/hard", type=tarfile.LNKTYPE, linkname="t/ok"),
        member("t/tty", type=tarfile.CHRTYPE),
        member("t/disk", type=tarfile.BLKTYPE),
        member("t/pipe", type=tarfile.FIFOTYPE),
        member("t/odd", b"x", type=b"Z"),
        member("other/file", b"x"),
        member("t/ok", b"again"),
        member("t/.git/config", b"x"),
        member("file-in-place-of-the-top", b"x"),
        format=tarfile.GNU_FORMAT,
    )

    assert [(file.path, tree.read(file)) for file in tree.files] == [("ok", b"fine")]
    assert not tree.symlinks
    assert left_out(tree) == [
        ("/absolute", "absolute path"),
        ("t/../../escape", "path is not plain"),
        ("out", "link out of the tree"),
        ("hard", "hard link"),
        ("tty", "not a regular file"),
        ("disk", "not a regular file"),
        ("pipe", "not a regular file"),
        ("odd", "not a regular file"),
        ("other/file", "outside the top directory"),
        ("ok", "path occurs twice"),
        ("t/.git/config", "path is git's own"),
        ("file-in-place-of-the-top", "outside the top directory"),
    ]


def test_names_of_entries_left_out_are_shown_without_effect() -> None:
    tree = read_members(member("t/\x1b[31m\n", b"x"), member("t/\udcff", b"x"), format=tarfile.GNU_FORMAT)

    assert [path for path, _ in left_out(tree)] == ["t/\ufffd[31m\ufffd", "t/\ufffd"]


def test_links_inside_the_tree_are_kept_and_not_followed() -> None:
    tree = read_members(
        member("t/d/link", type=SYMLINK, linkname="../real/file"), member("t/loop", type=SYMLINK, linkname="loop")
    )

    assert tree.symlinks == [Symlink("d/link", "../real/file"), Symlink("loop", "loop")]


@pytest.mark.parametrize("order", [1, -1])
def test_nothing_is_kept_below_a_file_or_a_link(order: int) -> None:
    members = [
        member("t/a", type=SYMLINK, linkname="b"),
        member("t/a.txt", b"between in plain order"),
        member("t/a/evil", b"written through the link"),
        member("t/f", b"file"),
        member("t/f/g/h", b"x"),
    ]

    tree = read_members(*members[::order])

    assert [file.path for file in tree.files] == ["a.txt", "f"]
    assert left_out(tree) == [("a/evil", "path is below a file or a link"), ("f/g/h", "path is below a file or a link")]


def test_listing_of_entries_left_out_is_bounded() -> None:
    tree = read_members(*[member(f"t/../{number}") for number in range(MAX_LISTED_LEFT_OUT + 5)])

    assert (tree.left_out_count, len(tree.left_out)) == (MAX_LISTED_LEFT_OUT + 5, MAX_LISTED_LEFT_OUT)


@pytest.mark.parametrize(
    ("members", "limits", "refusal"),
    [
        ([member(f"t/{number}") for number in range(11)], SMALL, "more than 10 entries"),
        ([member("t/a", b"x" * 20_001)], SMALL, "a file of more than 20,000 bytes"),
        (
            [member(f"t/{number}", b"%d" % number * 19_000) for number in range(3)],
            SMALL,
            "50,000 bytes when uncompressed",
        ),
        ([member("t/a", b"\0" * 20_000)], Limits(ratio_floor_bytes=20_000), "100 times its size"),
    ],
)
def test_limits(members: list[tuple[tarfile.TarInfo, bytes]], limits: Limits, refusal: str) -> None:
    with pytest.raises(ArchiveRefused, match=refusal):
        read(gzip.compress(a_tar(*members)), limits)


def test_limit_of_the_compressed_size() -> None:
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(400))

    with pytest.raises(ArchiveRefused, match="more than 10,000 bytes"):
        read(an_archive({"a": noise}), SMALL)


def test_a_bomb_stops_early() -> None:
    read_so_far = 0

    class Bomb:
        """A file of endless zeros, compressed 1 to 1,000."""

        def __init__(self) -> None:
            self._deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
            self._buffer = self._deflate.compress(header(b"00077777777\0"))

        def read(self, size: int, /) -> bytes:
            nonlocal read_so_far
            while len(self._buffer) < size:
                self._buffer += self._deflate.compress(bytes(1 << 20))
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            read_so_far += len(data)
            return data

    with pytest.raises(ArchiveRefused, match="100 times"):
        read_archive(Bomb(), io.BytesIO())
    assert read_so_far < 1 << 20


@pytest.mark.parametrize("cut", [0, 1, 5, 10, 30, -1, -4, -8, -9])
def test_a_stream_that_ends_early_is_githubs_failure(cut: int) -> None:
    whole = an_archive({"a": b"content" * 1000, "b": b"more"})

    with pytest.raises(GitHubUnavailable, match="ended early"):
        read(whole[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"<html>not an archive</html>",
        gzip.compress(b""),
        gzip.compress(b"not a tar" * 200),
        gzip.compress(a_tar(member("t/a", b"x" * 5000))[:3000]),
        gzip.compress(a_tar(member("t/a", b"x"))[:1024]),
        gzip.compress(a_tar(member("t/a", b"x"))[:1024] + b"garbage" * 200),
        an_archive({"a": b"x"}) + b"trailing garbage",
        an_archive({"a": b"x" * 10_000})[:-8] + b"\0" * 8,
        gzip.compress(a_tar(member("t/a"))[:700]),
    ],
)  # fmt: skip
def test_what_is_no_archive_was_sent_in_place_of_one(data: bytes) -> None:
    """It says nothing about the pull request."""
    with pytest.raises(GitHubUnavailable, match="not a well-formed"):
        read(data)


@pytest.mark.parametrize(
    "tar",
    [
        header(b"\xff" * 12),
        header(b"\x80" + b"\x7f" * 11),
        header(b"77777777777\0"),
        header(b"00010000000\0", kind=b"x"),
        header(b"00010000000\0", kind=b"L"),
        header(b"00000040000\0", kind=b"g"),
        header(kind=b"S"),
        header(b"\x80" + b"\x7f" * 11, kind=b"Z"),
        header(b"00000000005\0", kind=b"x") + b"0 a=b".ljust(512, b"\0"),
        header(b"00000000026\0", kind=b"x") + b"22 hdrcharset=\xff\xff\xff\xff\xff\xff\n".ljust(512, b"\0"),
        header(b"00000000016\0", kind=b"x") + b"14 size=-5120\n".ljust(512, b"\0") + header() + header(),
        header(b"00000000054\0", kind=b"x")
        + b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n".ljust(512, b"\0") + header(),
        header(b"00000000030\0", kind=b"x") + b"24 GNU.sparse.map=1,2,3\n".ljust(512, b"\0") + header(),
        # The size to skip by is not the size that is told.
        header(b"00000000034\0", kind=b"x") + b"28 GNU.sparse.realsize=0000\n".ljust(512, b"\0")
        + header(b"\x80" + b"\0" * 4 + b"\x7f" * 7),
        header(b"00000000000\0", kind=b"x") * 5000,
    ],
)  # fmt: skip
def test_hostile_headers_are_refused(tar: bytes) -> None:
    with pytest.raises((ArchiveRefused, GitHubUnavailable)):
        read(gzip.compress(tar + bytes(2048)))


def test_global_headers_do_not_add_up() -> None:
    block = header(b"00000001750\0", kind=b"g")
    records = [(b"1000 k%d=" % number).ljust(999, b"x") + b"\n" for number in range(20)]

    with pytest.raises(ArchiveRefused, match="oversized header"):
        read(gzip.compress(b"".join(block + record.ljust(1024, b"\0") for record in records)))


def test_long_names_are_read_in_both_formats() -> None:
    path = "/".join(["directory"] * 30)
    for format_ in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        tree = read_members(
            member(f"t/{path}/ä", b"x"), member("t/l", type=SYMLINK, linkname=path), format=format_,
            pax_headers={"comment": "a" * 40},
        )  # fmt: skip
        assert [file.path for file in tree.files] == [f"{path}/ä"]
        assert [link.target for link in tree.symlinks] == [path]


def test_a_gzip_stream_may_have_several_members() -> None:
    tar = a_tar(member("t/a", b"content" * 1000))

    tree = read(gzip.compress(tar[:700]) + gzip.compress(tar[700:]))

    assert tree.read(tree.files[0]) == b"content" * 1000


def test_checkpoints_interrupt_reading() -> None:
    calls = iter(range(3))

    with pytest.raises(StopIteration):
        read_archive(
            io.BytesIO(an_archive({str(n): b"" for n in range(9)})), io.BytesIO(), checkpoint=lambda: next(calls)
        )


def test_the_bundle_depends_on_the_contents_alone() -> None:
    files = {"b": b"two", "a/x": b"one", "ä/" + "long" * 60: b"three"}
    first = packed(read(an_archive(files, top="one")))
    members = [
        member(f"other/{path}", content, mtime=99, uid=5, gid=6, uname="me", gname="us", mode=0o664)
        for path, content in reversed(files.items())
    ]
    second = packed(read_members(*members, format=tarfile.GNU_FORMAT))

    assert first == second


def test_the_bundle_is_a_plain_archive() -> None:
    tree = read_members(
        member("t/run.sh", b"#!", mode=0o775),
        member("t/a", b"1", mode=0o664),
        member("t/l", type=SYMLINK, linkname="a"),
    )

    with tarfile.open(fileobj=io.BytesIO(packed(tree))) as tar:
        entries = [(info.name, info.mode, info.mtime, info.uid, info.uname, info.linkname) for info in tar]
        content = tar.extractfile("a")
        assert content is not None
        assert content.read() == b"1"
    assert entries == [
        ("a", 0o644, 0, 0, "", ""),
        ("l", 0o777, 0, 0, "", "a"),
        ("run.sh", 0o755, 0, 0, "", ""),
    ]
    # No time and no name in gzip's header either.
    assert packed(tree)[3:8] == b"\0\0\0\0\0"


# Parts of paths that like to be combined.
parts = st.sampled_from(["t", "a", "b", "..", ".", "", ".git", "x" * 60, "ä", "\n", "\0", "\udcff", "c:", "\\", "..."])
paths = st.lists(parts, min_size=1, max_size=6).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, SYMLINK, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    name = draw(st.sampled_from(["t/", ""])) + draw(paths)
    kind = draw(kinds)
    content = draw(st.binary(max_size=600)) if kind == tarfile.REGTYPE else b""
    return member(name, content, type=kind, linkname=draw(paths), mode=draw(st.integers(0, 0o7777)))


def resolve(path: str, links: dict[str, str], depth: int = 0) -> Iterator[str]:
    """The physical places that opening a path passes through, in a tree with these links; so many deep that every way
    out of the tree that has one more turn has been seen with one less."""
    place: list[str] = []
    for part in path.split("/"):
        if part == "..":
            assert place, "out of the tree"
            place.pop()
        elif part not in ("", "."):
            place.append(part)
            if (target := links.get("/".join(place))) is not None and depth < 8:
                where = "/".join([*place[:-1], target])
                *_, last = resolve(where, links, depth + 1)
                place = last.split("/") if last else []
        yield "/".join(place)


@given(st.lists(members(), max_size=12), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_whatever_the_archive_nothing_escapes_and_packing_is_deterministic(
    entries: list[tuple[tarfile.TarInfo, bytes]], format_: int
) -> None:
    tree = read_members(*entries, format=format_)

    taken: list[File | Symlink] = [*tree.files, *tree.symlinks]
    names = [entry.path for entry in taken]
    links = {link.path: link.target for link in tree.symlinks}
    assert len(set(names)) == len(names)
    for name in names:
        assert name
        assert not name.startswith("/")
        assert {"", ".", "..", ".git"}.isdisjoint(name.split("/"))
        assert not any(other.startswith(f"{name}/") for other in names)
        list(resolve(name, links))
    for file in tree.files:
        assert hashlib.sha256(tree.read(file)).hexdigest() == file.sha256

    bundle = packed(tree)
    again = [member(f"top/{file.path}", tree.read(file), mode=file.mode) for file in tree.files]
    again += [member(f"top/{link.path}", type=SYMLINK, linkname=link.target) for link in tree.symlinks]
    assert packed(read_members(*again)) == bundle
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        assert tar.getnames() == sorted(names)


@given(st.data())
def test_damaged_archives_raise_nothing_else(data: st.DataObject) -> None:
    tar = bytearray(a_tar(member("t/a", b"x" * 600), member("t/" + "n" * 150, b"y"), pax_headers={"comment": "c" * 40}))
    for _ in range(data.draw(st.integers(1, 6))):
        tar[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    for offset in range(0, 4096, 512):
        # With a right checksum, or damage would not get beyond it.
        block = bytearray(tar[offset : offset + 512])
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            tar[offset + 148 : offset + 156] = b"%06o\0 " % sum(block)

    try:
        tree = read(gzip.compress(bytes(tar)))
    except (ArchiveRefused, GitHubUnavailable):
        return
    assert all(path_fault(f"t/{file.path}") is None for file in tree.files)


def test_largest_file_of_github_is_within_the_default_limits() -> None:
    assert MAX_FILE_BYTES <= Limits().file_bytes <= Limits().uncompressed_bytes
