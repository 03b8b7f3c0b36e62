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
from processor.actions.build import bundle, verdict
from processor.actions.build.archive import Limits, read_archive
from processor.errors import DeadlineExceeded
from pullrequest.changed_file import ChangedFile
from pullrequest.errors import GitHubUnavailable
from tests.unit.processor.fakes import SHA, FakeGitHub, FakeWork, a_job, a_tar, an_archive, member

FILES = {"src/a.py": b"x = 1\n", "b.json": b"{}", "docs/c.md": b"# c\n"}
BUNDLE = f"octo-org/hello/{SHA}/bundle.tar.gz"
MANIFEST = f"octo-org/hello/{SHA}/manifest.json"


def a_work(files: dict[str, bytes] | None = None, **github: Any) -> FakeWork:
    return FakeWork(
        policy=build.Policy(), github=FakeGitHub(archive=an_archive(FILES if files is None else files), **github)
    )


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
        "already_there": 0,
        "not_checked": {},
        "problems": {"count": 0, "items": [], "left_out": 0},
        "left_out": {"count": 0, "items": [], "left_out": 0},
    }
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.getnames() == sorted(FILES)


def test_the_manifest_has_a_digest_of_every_file() -> None:
    work = FakeWork(
        policy=build.Policy(),
        github=FakeGitHub(
            archive=gzip.compress(
                a_tar(member("t/b", b"2", mode=0o755), member("t/ä", b"1"), member("t/l", type=b"2", linkname="b"))
            )
        ),
    )

    build.run(a_job("build"), work)

    manifest = json.loads(work.artifacts.objects[MANIFEST])
    assert manifest == {
        "schema_version": 2,
        "repository": "octo-org/hello",
        "sha": SHA,
        "bundle": manifest["bundle"],
        "counts": {"files": 2, "symlinks": 1, "left_out": 0, "problems": 0, "not_checked": {}},
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
    "content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"x" * (bundle.MAX_MANIFEST_BYTES + 1)]
)
def test_a_manifest_that_cannot_be_read_is_no_obstacle(content: bytes) -> None:
    work = a_work()
    work.artifacts.objects[MANIFEST] = content

    assert build.run(a_job("build"), work).conclusion == "success"
    assert work.github.downloads == 1


def changed(*paths: str, status: str = "added", previous: str | None = None) -> list[ChangedFile]:
    return [ChangedFile(path, status, 1, 0, None, previous_path=previous) for path in paths]


def test_problems_conclude_failure_and_the_bundle_is_stored_all_the_same() -> None:
    work = a_work(
        {"ok.py": b"x = 1", "bad.py": b"x = 1\ny = (", "bad.yaml": b"a: [}", "../up": b"", "big.py": b"#" * 300_000},
        changed=changed("bad.py", "bad.yaml", "../up"),
    )

    result = build.run(a_job("build"), work)

    assert result.conclusion == "failure"
    assert result.summary == "bundle of 4 files; 2 syntax errors, 1 unsafe path left out; 1 file not checked"
    assert result.artifacts["problems"]["items"] == [
        {"path": "bad.py", "kind": "python", "line": 2},
        {"path": "bad.yaml", "kind": "yaml", "line": 1},
    ]
    assert result.artifacts["left_out"]["items"][0]["reason"] == "path is not plain"
    assert [(one.severity, one.path, one.line) for one in work.findings.items] == [
        ("failure", "bad.py", 2),
        ("failure", "bad.yaml", 1),
        ("failure", "../up", 1),
    ]
    assert set(work.artifacts.objects) == {BUNDLE, MANIFEST}


BROKEN = {"tests/fixtures/invalid.json": b"{", "bad.py": b"x = (", "moved.yaml": b"a: [}"}


def judged(base: dict[str, bytes], **github: Any) -> Any:
    work = a_work(BROKEN, base_files=base, **github)
    result = build.run(a_job("build"), work)
    return result.conclusion, result.artifacts["already_there"], result.artifacts["not_checked"], work.findings.items


def test_what_the_pull_request_did_not_touch_blames_nobody() -> None:
    assert judged({}, changed=changed("other.md")) == ("success", 3, {}, [])


def test_what_was_as_bad_at_the_base_blames_nobody() -> None:
    base = {"tests/fixtures/invalid.json": b"[", "bad.py": b"y = (", "old.yaml": b"b: [}"}
    files = [
        *changed("tests/fixtures/invalid.json", "bad.py", status="modified"),
        *changed("moved.yaml", status="renamed", previous="old.yaml"),
    ]
    assert judged(base, changed=files) == ("success", 3, {}, [])


def test_what_was_good_at_the_base_is_the_pull_requests_own() -> None:
    base = {"tests/fixtures/invalid.json": b"{}", "bad.py": b"y = 1"}
    conclusion, already_there, _, found = judged(
        base, changed=changed("tests/fixtures/invalid.json", "bad.py", status="modified")
    )
    assert (conclusion, already_there, len(found)) == ("failure", 1, 2)
    assert found[0].message == "python cannot read this file from this line on"


def test_what_cannot_be_compared_is_not_checked() -> None:
    base = {"bad.py": b"# coding: rot13\n"}
    conclusion, _, not_checked, found = judged(base, changed=changed("bad.py", status="modified"))
    assert (conclusion, not_checked, found) == ("success", {"it cannot be read at the base": 1}, [])


def test_what_github_does_not_list_is_not_checked() -> None:
    conclusion, already_there, not_checked, _ = judged({}, changed=changed("bad.py"), total=4_000)
    assert (conclusion, already_there) == ("failure", 0)
    assert not_checked == {"beyond the first 3,000 changed files": 2}


def test_only_so_many_files_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "MAX_COMPARED", 1)
    base = dict.fromkeys(BROKEN, b"{")
    _, already_there, not_checked, _ = judged(base, changed=changed(*BROKEN, status="modified"))
    assert (already_there, sum(not_checked.values())) == (1, 2)


def test_a_stored_bundle_is_judged_for_each_pull_request_anew() -> None:
    work = a_work(BROKEN, changed=changed("bad.py"))
    assert build.run(a_job("build"), work).conclusion == "failure"
    other = FakeWork(policy=build.Policy(), github=FakeGitHub(), artifacts=work.artifacts)
    assert build.run(a_job("build"), other).conclusion == "success"
    assert other.github.downloads == 0


@pytest.mark.parametrize(
    ("level", "conclusion"), [("failure", "failure"), ("warning", "success"), ("ignore", "success")]
)
def test_the_policy_decides_what_fails(level: Any, conclusion: str) -> None:
    work = a_work(BROKEN, changed=changed("bad.py"))
    work.policy = build.Policy(syntax_error=level)
    assert build.run(a_job("build"), work).conclusion == conclusion
    assert len(work.findings.items) == (level != "ignore")


def test_what_is_left_out_without_harm_is_a_note() -> None:
    members = [
        member("t/ok", type=b"2", linkname="./../shared/a".replace("../", "", 1)),
        member("t/dir/up", type=b"2", linkname="../shared//a"),
        member("t/null", type=b"2", linkname="/dev/null"),
        member("t/Icon\r"),
    ]
    archive = gzip.compress(a_tar(*members))
    work = FakeWork(policy=build.Policy(), github=FakeGitHub(archive=archive, changed=changed("null", "Icon\r", "ok")))
    result = build.run(a_job("build"), work)
    assert (result.conclusion, result.artifacts["symlinks"]) == ("success", 2)
    assert sorted((one.severity, one.path) for one in work.findings.items) == [("notice", "Icon\r"), ("notice", "null")]


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
    work = FakeWork(policy=build.Policy(), github=FakeGitHub(archive=an_archive(FILES)))

    result = build.run(a_job("build"), work)

    assert result.conclusion == "failure"
    assert result.summary == "the archive is refused: it has more than 2 entries"
    assert result.refused_by == {"entries": 2}
    assert set(result.refused_by) <= set(build.LIMITS)
    assert result.details_url is None
    assert work.artifacts.objects == {}


@pytest.mark.parametrize("archive", [b"no archive", gzip.compress(b"no tar" * 1000, mtime=0)])
def test_another_body_in_place_of_the_archive_is_no_verdict(archive: bytes) -> None:
    work = FakeWork(policy=build.Policy(), github=FakeGitHub(archive=archive))

    with pytest.raises(GitHubUnavailable):
        build.run(a_job("build"), work)
    assert work.artifacts.objects == {}


def test_a_cut_download_is_worth_another_attempt() -> None:
    work = FakeWork(policy=build.Policy(), github=FakeGitHub(archive=an_archive(FILES)[:-20]))

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
