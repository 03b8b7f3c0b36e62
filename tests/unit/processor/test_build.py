from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from functools import partial
from typing import Any

import pytest

from processor.actions import build
from processor.actions.build import bundle
from processor.actions.build.archive import Limits, read_archive
from processor.errors import DeadlineExceeded
from pullrequest.errors import GitHubUnavailable
from tests.unit.processor.fakes import SHA, FakeGitHub, FakeWork, a_job, a_tar, an_archive, member

FILES = {"src/a.py": b"x = 1\n", "b.json": b"{}", "docs/c.md": b"# c\n"}
BUNDLE = f"octo-org/hello/{SHA}/bundle.tar.gz"
MANIFEST = f"octo-org/hello/{SHA}/manifest.json"


def a_work(files: dict[str, bytes] | None = None, **github: Any) -> FakeWork:
    return FakeWork(FakeGitHub(archive=an_archive(FILES if files is None else files), **github))


def test_the_bundle_and_its_manifest_are_stored() -> None:
    work = a_work()

    result = build.run(a_job("build"), work)

    stored = work.artifacts.objects[BUNDLE]
    assert (result.conclusion, result.summary) == ("success", "bundle of 3 files; no problems")
    assert result.details_url == f"https://artifacts.example/{BUNDLE}"
    assert result.artifacts == {
        "bundle": {"key": BUNDLE, "sha256": hashlib.sha256(stored).hexdigest(), "size": len(stored)},
        "manifest": MANIFEST,
        "files": 3,
        "symlinks": 0,
        "not_checked": 0,
        "problems": {"count": 0, "items": [], "left_out": 0},
        "left_out": {"count": 0, "items": [], "left_out": 0},
    }
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.getnames() == sorted(FILES)


def test_the_manifest_has_a_digest_of_every_file() -> None:
    work = FakeWork(
        FakeGitHub(
            archive=gzip.compress(
                a_tar(member("t/b", b"2", mode=0o755), member("t/ä", b"1"), member("t/l", type=b"2", linkname="b"))
            )
        )
    )

    build.run(a_job("build"), work)

    manifest = json.loads(work.artifacts.objects[MANIFEST])
    assert manifest == {
        "schema_version": 1,
        "repository": "octo-org/hello",
        "sha": SHA,
        "bundle": manifest["bundle"],
        "counts": {"files": 2, "symlinks": 1, "left_out": 0, "problems": 0, "not_checked": 0},
        "problems": [],
        "left_out": [],
        "files": [
            {"path": "b", "size": 1, "mode": "755", "sha256": hashlib.sha256(b"2").hexdigest()},
            {"path": "ä", "size": 1, "mode": "644", "sha256": hashlib.sha256(b"1").hexdigest()},
        ],
        "symlinks": [{"path": "l", "target": "b"}],
    }


def test_an_empty_repository_has_an_empty_bundle() -> None:
    work = a_work({})

    assert build.run(a_job("build"), work).conclusion == "success"
    assert json.loads(work.artifacts.objects[MANIFEST])["files"] == []


def test_the_same_commit_gives_the_same_bytes() -> None:
    first, second = a_work(), a_work(dict(reversed(FILES.items())))

    build.run(a_job("build"), first)
    build.run(a_job("build"), second)

    assert first.artifacts.objects == second.artifacts.objects


def test_a_stored_bundle_is_not_built_again() -> None:
    work = a_work({"a.py": b"(", "../x": b""})
    first = build.run(a_job("build"), work)
    before = dict(work.artifacts.objects)

    again = build.run(a_job("build"), work)

    assert again == first
    assert work.github.downloads == 1
    assert work.artifacts.objects == before


def test_a_bundle_without_its_manifest_is_completed_with_the_bytes_that_stand() -> None:
    work = a_work()
    work.artifacts.objects[BUNDLE] = b"of an earlier attempt, by another zlib"

    result = build.run(a_job("build"), work)

    assert work.artifacts.objects[BUNDLE] == b"of an earlier attempt, by another zlib"
    expected = hashlib.sha256(b"of an earlier attempt, by another zlib").hexdigest()
    assert result.artifacts["bundle"]["sha256"] == expected
    assert json.loads(work.artifacts.objects[MANIFEST])["bundle"]["sha256"] == expected


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": 2}', b"x" * (bundle.MAX_MANIFEST_BYTES + 1)]
)
def test_a_manifest_that_cannot_be_read_is_no_obstacle(content: bytes) -> None:
    work = a_work()
    work.artifacts.objects[MANIFEST] = content

    assert build.run(a_job("build"), work).conclusion == "success"
    assert work.github.downloads == 1


def test_problems_conclude_failure_and_the_bundle_is_stored_all_the_same() -> None:
    work = a_work(
        {"ok.py": b"x = 1", "bad.py": b"x = 1\ny = (", "bad.yaml": b"a: [}", "../up": b"", "big.py": b"#" * 300_000}
    )

    result = build.run(a_job("build"), work)

    assert result.conclusion == "failure"
    assert result.summary == "bundle of 4 files; 2 syntax errors, 1 unsafe path left out; 1 file not checked"
    assert result.artifacts["problems"]["items"] == [
        {"path": "bad.py", "kind": "python", "line": 2},
        {"path": "bad.yaml", "kind": "yaml", "line": 1},
    ]
    assert result.artifacts["left_out"]["items"][0]["reason"] == "path is not plain"
    assert set(work.artifacts.objects) == {BUNDLE, MANIFEST}


def test_metadata_of_the_worst_bundle_is_bounded() -> None:
    long = "\U0001f642" * 60
    files = {f"{number}{long}/a.py": b"(" for number in range(1200)} | {
        f"../{number}{long}": b"" for number in range(1200)
    }
    work = a_work(files)

    result = build.run(a_job("build"), work)

    assert result.artifacts["problems"]["count"] == result.artifacts["left_out"]["count"] == 1200
    assert len(json.dumps(result.artifacts)) < 48 * 1024
    assert len(json.loads(work.artifacts.objects[MANIFEST])["problems"]) == bundle.MAX_LISTED_PROBLEMS
    assert len(result.summary) < 1024


def test_an_archive_beyond_a_limit_concludes_failure_and_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "read_archive", partial(read_archive, limits=Limits(entries=2)))
    work = FakeWork(FakeGitHub(archive=an_archive(FILES)))

    result = build.run(a_job("build"), work)

    assert result.conclusion == "failure"
    assert result.summary == "the archive is refused: it has more than 2 entries"
    assert result.refused_by == {"entries": 2}
    assert set(result.refused_by) <= set(build.LIMITS)
    assert result.details_url is None
    assert work.artifacts.objects == {}


@pytest.mark.parametrize("archive", [b"no archive", gzip.compress(b"no tar" * 1000, mtime=0)])
def test_another_body_in_place_of_the_archive_is_no_verdict(archive: bytes) -> None:
    work = FakeWork(FakeGitHub(archive=archive))

    with pytest.raises(GitHubUnavailable):
        build.run(a_job("build"), work)
    assert work.artifacts.objects == {}


def test_a_cut_download_is_worth_another_attempt() -> None:
    work = FakeWork(FakeGitHub(archive=an_archive(FILES)[:-20]))

    with pytest.raises(GitHubUnavailable):
        build.run(a_job("build"), work)

    assert work.artifacts.objects == {}


def test_every_checkpoint_stops_the_work_without_a_manifest() -> None:
    whole = a_work()
    build.run(a_job("build"), whole)

    for number in range(1, whole.checkpoints + 1):
        work = a_work()
        work.stops = (number, DeadlineExceeded(""))
        with pytest.raises(DeadlineExceeded):
            build.run(a_job("build"), work)
        assert MANIFEST not in work.artifacts.objects


def test_nothing_is_left_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    build.run(a_job("build"), a_work())
    with pytest.raises(GitHubUnavailable):
        build.run(a_job("build"), a_work(breaks=GitHubUnavailable("")))

    assert list(tmp_path.iterdir()) == []
