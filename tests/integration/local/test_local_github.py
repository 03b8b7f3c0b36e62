"""The local GitHub against GitHub's own description of its API, PyGithub, and git.

The part of the description that is here (tests/data/github-openapi.json) lacks the routes of organisations:
``/orgs/{org}/hooks/{hook_id}/deliveries``, what is below, and ``/orgs/{org}/installation``. The whole description gives
them the schemas of the repository's routes (``hook-delivery-item``, ``hook-delivery``, ``accepted``, ``installation``),
so their answers are held to those. That there are such routes, and what they may be asked, is not held by a test.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pygit2
import pytest
import requests
from github import Auth, Github, GithubException
from openapi_schema_validator import OAS30Validator

from local.github import Fault, File, PullRequest
from local.github.api import create_app
from local.github.bodies import Bodies
from local.github.deliveries import sign
from local.github.hooks import HOOK_NAMES, KEPT_SECONDS, ORGANISATION_HOOK_ID
from local.github.repository import GitRepository
from local.github.server import LocalGitHub
from local.github.state import State
from local.github_control import GitHubControl

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
OPENAPI = json.loads((ROOT / "tests/data/github-openapi.json").read_text(encoding="utf-8"))
TOKEN = "t0ken-of-the-tests"
INSTALLATION = 58213407
REPO = "/repos/octo-org/hello-pullback"
HEAD_SHA = "77f4cb98bd37124f6d4e469c10164969f905ad36"
BASE_SHA = "2d2008de6188bfcaef861d79abc527aa87317590"
UNKNOWN_SHA = "0" * 40


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGitHub]:
    """One server for the tests that only read."""
    with LocalGitHub(tmp_path_factory.mktemp("github"), token=TOKEN) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LocalGitHub]:
    """A server of the test's own."""
    with LocalGitHub(tmp_path / "github", token=TOKEN) as server:
        yield server


def call(github: LocalGitHub, method: str, path: str, **options: Any) -> requests.Response:
    """A request with the token, redirects not followed."""
    options["headers"] = {"Authorization": f"Bearer {TOKEN}"} | options.get("headers", {})
    url = path if path.startswith("http") else github.api_url + path
    return requests.request(method, url, timeout=10, allow_redirects=False, **options)


def get(github: LocalGitHub, path: str, **options: Any) -> requests.Response:
    return call(github, "GET", path, **options)


def pygithub(github: LocalGitHub) -> Github:
    return Github(
        auth=Auth.Token(TOKEN),
        base_url=github.api_url,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


@cache
def validator(template: str, method: str, status: int) -> OAS30Validator:
    """GitHub's schema of an answer's body."""
    response = OPENAPI["paths"][template][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    return OAS30Validator({**schema, "components": OPENAPI["components"]}, format_checker=OAS30Validator.FORMAT_CHECKER)


def assert_as_described(response: requests.Response, template: str) -> None:
    """The body is what GitHub's OpenAPI description says of this endpoint and status."""
    method = str(response.request.method)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    found = sorted(validator(template, method, response.status_code).iter_errors(response.json()), key=str)
    # GitHub's description calls an enumeration nullable without null among its words.
    errors = [one for one in found if not (one.validator == "enum" and one.instance is None and one.schema["nullable"])]
    assert not errors, [f"{list(error.absolute_path)}: {error.message[:200]}" for error in errors]


PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
COMMIT = "/repos/{owner}/{repo}/commits/{ref}"
STATUSES = "/repos/{owner}/{repo}/statuses/{sha}"


class TestShapes:
    @pytest.mark.parametrize(
        ("path", "template"),
        [
            (REPO, "/repos/{owner}/{repo}"),
            (f"{REPO}/pulls/7", PULL),
            (f"{REPO}/pulls/7/files", f"{PULL}/files"),
            (f"{REPO}/commits/{HEAD_SHA}", COMMIT),
            (f"{REPO}/commits/main", COMMIT),
            (f"{REPO}/commits/{HEAD_SHA}/status", f"{COMMIT}/status"),
            (f"{REPO}/commits/{HEAD_SHA}/statuses", f"{COMMIT}/statuses"),
            ("/rate_limit", "/rate_limit"),
            ("/meta", "/meta"),
        ],
    )
    def test_answers_are_as_described(self, github: LocalGitHub, path: str, template: str) -> None:
        response = get(github, path)
        assert response.status_code == 200
        assert_as_described(response, template)

    @pytest.mark.parametrize("gone", [False, True])
    def test_pull_requests_of_forks_drafts_and_closed_ones(self, fresh: LocalGitHub, gone: bool) -> None:
        control = GitHubControl(fresh.api_url)
        control.draft(7)
        control.close(7)
        fork = control.fork(7, gone=gone)
        response = get(fresh, f"{REPO}/pulls/7")
        pull = response.json()
        if gone:
            # GitHub says null there, and its description forgets it.
            described = pull | {"head": pull["head"] | {"repo": pull["base"]["repo"]}}
            assert validator(PULL, "GET", 200).is_valid(described)
        else:
            assert_as_described(response, PULL)
        assert (pull["state"], pull["draft"], pull["closed_at"]) == ("closed", True, fork.updated_at)
        theirs = pull["head"]["repo"]
        assert (theirs and theirs["full_name"]) == (None if gone else "mona/hello-pullback")
        assert pull["head"]["label"] == ("octocat" if gone else "mona") + ":add-languages"
        assert pull["base"]["repo"]["full_name"] == "octo-org/hello-pullback"
        assert control.draft(7, draft=False).is_draft is False
        with pytest.raises(requests.HTTPError, match="404"):
            control.close(99)

    def test_the_schemas_are_really_followed(self, github: LocalGitHub) -> None:
        # Through a reference, through a nullable one, and into a list: a broken value must be found there.
        pull = get(github, f"{REPO}/pulls/7").json()
        check = validator(PULL, "GET", 200)
        assert check.is_valid(pull)
        for broken in (
            pull | {"user": pull["user"] | {"id": "1"}},
            pull | {"milestone": 3},
            pull | {"head": pull["head"] | {"repo": {**pull["head"]["repo"], "owner": None}}},
            {key: value for key, value in pull.items() if key != "mergeable_state"},
        ):
            assert not check.is_valid(broken)

    def test_statuses_are_as_described(self, fresh: LocalGitHub) -> None:
        fields = {"state": "failure", "context": "pullback/build", "description": "2 problems 👋"}
        response = call(fresh, "POST", f"{REPO}/statuses/{HEAD_SHA}", json=fields)
        assert response.status_code == 201
        assert_as_described(response, STATUSES)
        assert_as_described(get(fresh, f"{REPO}/commits/{HEAD_SHA}/status"), f"{COMMIT}/status")
        listed = get(fresh, f"{REPO}/commits/{HEAD_SHA}/statuses")
        assert_as_described(listed, f"{COMMIT}/statuses")
        assert listed.json() == [response.json()]
        assert fields.items() <= response.json().items()

    @pytest.mark.parametrize("path", [f"{REPO}/pulls/99", "/repos/octo-org/other", f"{REPO}/commits/nothing/status"])
    def test_unknown_things_are_not_found(self, github: LocalGitHub, path: str) -> None:
        response = get(github, path)
        assert response.status_code == 404
        assert response.json()["message"] == "Not Found"
        assert response.json()["status"] == "404"

    def test_an_unknown_path_is_not_found(self, github: LocalGitHub) -> None:
        assert get(github, "/teams").json()["message"] == "Not Found"
        assert call(github, "DELETE", REPO).status_code == 404

    @pytest.mark.parametrize("ref", [UNKNOWN_SHA, "nothing", "pull/99/head", "HEAD~1", "main~1", "7e78"])
    def test_an_unknown_commit_is_unprocessable(self, github: LocalGitHub, ref: str) -> None:
        response = get(github, f"{REPO}/commits/{ref}")
        assert response.status_code == 422
        assert_as_described(response, COMMIT)
        assert response.json()["message"] == f"No commit found for SHA: {ref}"

    @pytest.mark.parametrize(
        "ref", [HEAD_SHA, HEAD_SHA[:7], "add-languages", "refs/heads/add-languages", "pull/7/head"]
    )
    def test_names_of_a_commit(self, github: LocalGitHub, ref: str) -> None:
        assert get(github, f"{REPO}/commits/{ref}").json()["sha"] == HEAD_SHA

    def test_every_answer_tells_the_rate_and_its_id(self, github: LocalGitHub) -> None:
        first, second = get(github, REPO), get(github, f"{REPO}/pulls/99")
        used = [int(response.headers["x-ratelimit-used"]) for response in (first, second)]
        assert used[1] == used[0] + 1
        assert int(second.headers["x-ratelimit-remaining"]) == 5000 - used[1]
        assert int(second.headers["x-ratelimit-reset"]) > time.time()
        assert first.headers["x-github-request-id"] != second.headers["x-github-request-id"]

    def test_an_etag_saves_the_body(self, github: LocalGitHub) -> None:
        etag = get(github, REPO).headers["etag"]
        assert get(github, REPO, headers={"If-None-Match": etag}).status_code == 304
        assert get(github, REPO, headers={"If-None-Match": 'W/"other"'}).status_code == 200

    def test_addresses_lead_to_the_server(self, github: LocalGitHub) -> None:
        pull = get(github, f"{REPO}/pulls/7").json()
        for url in (pull["url"], pull["head"]["repo"]["url"], f"{pull['url']}/files"):
            assert url.startswith(github.api_url)
            assert get(github, url).status_code == 200


class TestAccess:
    @pytest.mark.parametrize("authorization", [f"token {TOKEN}", f"Bearer {TOKEN}", f"bearer {TOKEN}"])
    def test_the_token_opens(self, github: LocalGitHub, authorization: str) -> None:
        assert get(github, REPO, headers={"Authorization": authorization}).status_code == 200

    @pytest.mark.parametrize("authorization", ["token wrong", "Bearer ", f"Basic {TOKEN}", TOKEN, "token tökén"])
    def test_anything_else_does_not(self, github: LocalGitHub, authorization: str) -> None:
        response = get(github, f"{REPO}/pulls/7", headers={"Authorization": authorization.encode()})
        assert response.status_code == 401
        assert response.json()["message"] == "Bad credentials"
        assert response.json()["status"] == "401"

    def test_no_token_opens_nothing(self, github: LocalGitHub) -> None:
        for path in (REPO, "/teams", "/rate_limit"):
            response = requests.get(github.api_url + path, timeout=10)
            assert (response.status_code, response.json()["message"]) == (401, "Requires authentication")

    @staticmethod
    def app_token(**changes: Any) -> str:
        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": "12345"} | changes
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, "k" * 32)

    def test_an_installation_gets_a_token_that_opens(self, github: LocalGitHub) -> None:
        headers = {"Authorization": f"Bearer {self.app_token()}"}
        response = call(github, "POST", f"/app/installations/{INSTALLATION}/access_tokens", headers=headers)
        assert response.status_code == 201
        assert_as_described(response, "/app/installations/{installation_id}/access_tokens")
        issued = response.json()
        assert issued["expires_at"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3000))
        assert get(github, REPO, headers={"Authorization": f"token {issued['token']}"}).status_code == 200

    @pytest.mark.parametrize(
        "changes", [{"exp": 1_700_000_000}, {"exp": 4_000_000_000}, {"iss": None}, {"iat": 4_000_000_000}]
    )
    def test_a_token_of_the_app_that_breaks_the_rules(self, github: LocalGitHub, changes: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self.app_token(**changes)}"}
        response = call(github, "POST", f"/app/installations/{INSTALLATION}/access_tokens", headers=headers)
        assert response.status_code == 401
        assert_as_described(response, "/app/installations/{installation_id}/access_tokens")

    def test_only_an_app_gets_an_installations_token(self, github: LocalGitHub) -> None:
        assert call(github, "POST", f"/app/installations/{INSTALLATION}/access_tokens").status_code == 401

    def test_an_unknown_installation(self, github: LocalGitHub) -> None:
        headers = {"Authorization": f"Bearer {self.app_token()}"}
        assert call(github, "POST", "/app/installations/1/access_tokens", headers=headers).status_code == 404


class TestSample:
    def test_the_commits_are_the_same_on_every_machine(self, github: LocalGitHub) -> None:
        assert dataclasses.replace(github.pull_request, updated_at=None) == PullRequest(
            full_name="octo-org/hello-pullback",
            number=7,
            title="Greet people in three languages 👋",
            head_sha=HEAD_SHA,
            head_ref="add-languages",
            base_sha=BASE_SHA,
            base_ref="main",
            installation_id=INSTALLATION,
            sender="octocat",
            before_sha="144348004fdd9a5b3408975e76805aa123c331a5",
        )

    def test_it_touches_everything_that_a_reviewer_cares_about(self, github: LocalGitHub) -> None:
        files = {file["filename"]: file for file in get(github, f"{REPO}/pulls/7/files").json()}
        assert {file["status"] for file in files.values()} == {"added", "modified", "removed", "renamed"}
        assert files[".github/workflows/ci.yml"]["status"] == "modified"
        assert files["uv.lock"]["status"] == "modified"
        assert files["docs/operations.md"]["previous_filename"] == "docs/deploy.md"
        logo = files["assets/logo.png"]
        assert (logo["status"], logo["changes"], "patch" in logo) == ("modified", 0, False)
        pull = get(github, f"{REPO}/pulls/7").json()
        assert pull["changed_files"] == len(files)
        assert pull["additions"] == sum(file["additions"] for file in files.values())
        assert pull["commits"] == 2

    def test_a_directory_is_used_again(self, tmp_path: Path) -> None:
        with LocalGitHub(tmp_path, token=TOKEN) as first:
            pushed = first.push()
            opened = first.open_pull_request({"a.txt": b"a\n"})
        with LocalGitHub(tmp_path, token=TOKEN) as second:
            assert second.pull_request.head_sha == pushed
            assert get(second, f"{REPO}/pulls/{opened.number}").json()["head"]["sha"] == opened.head_sha

    def test_a_half_made_repository_is_made_again(self, tmp_path: Path) -> None:
        (tmp_path / "repository.git" / "objects").mkdir(parents=True)
        with LocalGitHub(tmp_path, token=TOKEN) as server:
            assert server.pull_request.head_sha == HEAD_SHA


class TestFiles:
    def test_patches_are_git_diffs(self, github: LocalGitHub, tmp_path: Path) -> None:
        """Putting the headers back gives a diff that turns the base's files into the head's."""
        parts = []
        for file in get(github, f"{REPO}/pulls/7/files").json():
            if "patch" not in file:
                continue
            assert file["patch"].startswith("@@ -")
            assert not file["patch"].endswith("\n")
            lines = file["patch"].splitlines()
            assert sum(line.startswith("+") for line in lines) == file["additions"]
            assert sum(line.startswith("-") for line in lines) == file["deletions"]
            parts.append(git_patch(file))
        repo = pygit2.init_repository(str(tmp_path / "clone"))
        repo.odb.add_disk_alternate(str(git_directory(github) / "objects"))
        repo.reset(pygit2.Oid(hex=BASE_SHA), pygit2.enums.ResetMode.HARD)
        repo.apply(pygit2.Diff.parse_diff("".join(parts)))
        patched = 0
        for file in get(github, f"{REPO}/pulls/7/files").json():
            path = tmp_path / "clone" / file["filename"]
            if file["status"] == "removed":
                assert not path.exists()
            elif "patch" in file:
                assert path.read_bytes() == github.read(HEAD_SHA, file["filename"])
                patched += 1
        assert patched == 12

    def test_blobs_are_named(self, github: LocalGitHub) -> None:
        for file in get(github, f"{REPO}/pulls/7/files").json():
            side = BASE_SHA if file["status"] == "removed" else HEAD_SHA
            data = github.read(side, file["filename"])
            assert pygit2.hash(data) == pygit2.Oid(hex=file["sha"])

    def test_odd_files(self, fresh: LocalGitHub) -> None:
        pull = fresh.open_pull_request(
            {
                "big.txt": b"".join(b"line %d\n" % number for number in range(20_001)),
                "wide.txt": b"x" * 600_000,
                "no newline.txt": b"the end",
                "latin.txt": "dépôt\n".encode("latin-1"),
                "empty.txt": b"",
                "scripts/release.sh": File(b"#!/bin/sh\n"),
                "README.md": File(b"index.md", symlink=True),
            }
        )
        files = {file["filename"]: file for file in get(fresh, f"{REPO}/pulls/{pull.number}/files").json()}
        assert "patch" not in files["big.txt"]
        assert files["big.txt"]["additions"] == 20_001
        assert "patch" not in files["wide.txt"]
        assert files["no newline.txt"]["patch"] == "@@ -0,0 +1 @@\n+the end\n\\ No newline at end of file"
        assert files["latin.txt"]["patch"] == "@@ -0,0 +1 @@\n+d\ufffdp\ufffdt"
        assert (files["empty.txt"]["changes"], "patch" in files["empty.txt"]) == (0, False)
        assert files["scripts/release.sh"]["status"] == "modified"
        assert files["README.md"]["status"] == "changed"
        assert files["no newline.txt"]["contents_url"].endswith(f"/contents/no%20newline.txt?ref={pull.head_sha}")

    def test_a_diff_starts_where_the_branch_left_its_base(self, fresh: LocalGitHub) -> None:
        pull = fresh.open_pull_request({"a.txt": b"a\n", "CHANGELOG.md": None})
        names = [file["filename"] for file in get(fresh, f"{REPO}/pulls/{pull.number}/files").json()]
        assert names == ["CHANGELOG.md", "a.txt"]
        fresh.push({"b.txt": b"b\n"}, number=pull.number)
        names = [file["filename"] for file in get(fresh, f"{REPO}/pulls/{pull.number}/files").json()]
        assert names == ["CHANGELOG.md", "a.txt", "b.txt"]

    def test_the_whole_diff_as_text(self, github: LocalGitHub) -> None:
        response = get(github, f"{REPO}/pulls/7", headers={"Accept": "application/vnd.github.diff"})
        assert len(list(pygit2.Diff.parse_diff(response.text))) == 14


def git_patch(file: dict[str, Any]) -> str:
    new = file["filename"]
    old = file.get("previous_filename", new)
    header = f"diff --git a/{old} b/{new}\n"
    if file["status"] == "added":
        return f"{header}new file mode 100644\n--- /dev/null\n+++ b/{new}\n{file['patch']}\n"
    if file["status"] == "removed":
        return f"{header}deleted file mode 100644\n--- a/{old}\n+++ /dev/null\n{file['patch']}\n"
    if old != new:
        header += f"similarity index 90%\nrename from {old}\nrename to {new}\nindex 1111111..2222222 100644\n"
    return f"{header}--- a/{old}\n+++ b/{new}\n{file['patch']}\n"


def git_directory(github: LocalGitHub) -> Path:
    return github._repository._git


class TestPaging:
    @staticmethod
    def links(response: requests.Response) -> dict[str, str]:
        return {
            rel: url.partition("?")[2]
            for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers.get("Link", ""))
        }

    def test_links_lead_through_the_pages(self, github: LocalGitHub) -> None:
        path = f"{REPO}/pulls/7/files"
        every = [file["filename"] for file in get(github, path).json()]
        assert len(every) == 14
        assert "Link" not in get(github, path).headers
        first = get(github, f"{path}?per_page=5")
        assert self.links(first) == {"next": "per_page=5&page=2", "last": "per_page=5&page=3"}
        second = get(github, first.links["next"]["url"])
        assert list(self.links(second)) == ["prev", "next", "last", "first"]
        third = get(github, second.links["next"]["url"])
        assert self.links(third) == {"prev": "per_page=5&page=2", "first": "per_page=5&page=1"}
        pages = [response.json() for response in (first, second, third)]
        assert [len(page) for page in pages] == [5, 5, 4]
        assert [file["filename"] for page in pages for file in page] == every
        beyond = get(github, f"{path}?per_page=5&page=9")
        assert beyond.json() == []
        assert "next" not in self.links(beyond)

    @pytest.mark.parametrize("query", ["per_page=0", "per_page=-1", "per_page=x", "page=0", "page=-3", "per_page=101"])
    def test_senseless_numbers_are_defaults(self, github: LocalGitHub, query: str) -> None:
        assert len(get(github, f"{REPO}/pulls/7/files?{query}").json()) == 14

    def test_three_thousand_files_are_all_that_is_listed(self, fresh: LocalGitHub) -> None:
        pull = fresh.open_pull_request({f"data/{number:04}.txt": b"%d\n" % number for number in range(3100)})
        path = f"{REPO}/pulls/{pull.number}/files"
        assert len(get(fresh, path).json()) == 30
        first = get(fresh, f"{path}?per_page=500")
        assert len(first.json()) == 100
        assert self.links(first)["last"] == "per_page=100&page=30"
        assert len(get(fresh, f"{path}?per_page=100&page=30").json()) == 100
        assert get(fresh, f"{path}?per_page=100&page=31").json() == []
        assert get(fresh, f"{REPO}/pulls/{pull.number}").json()["changed_files"] == 3100


class TestStatuses:
    URL = f"{REPO}/statuses/{HEAD_SHA}"

    def test_the_newest_comes_first(self, fresh: LocalGitHub) -> None:
        for state in ("pending", "success"):
            call(fresh, "POST", self.URL, json={"state": state, "context": "a"})
        listed = get(fresh, f"{REPO}/commits/pull/7/head/statuses?per_page=1")
        assert [status["state"] for status in listed.json()] == ["success"]
        assert listed.links["next"]["url"].endswith("per_page=1&page=2")
        assert [(status.state, status.sha) for status in fresh.statuses()] == [
            ("pending", HEAD_SHA),
            ("success", HEAD_SHA),
        ]
        assert get(fresh, "/_local/statuses").json()[1]["sha"] == HEAD_SHA

    @pytest.mark.parametrize(
        ("reported", "combined"),
        [
            ([], "pending"),
            ([("a", "success")], "success"),
            ([("a", "success"), ("b", "pending")], "pending"),
            ([("a", "pending"), ("b", "error")], "failure"),
            ([("a", "failure"), ("a", "success")], "success"),
        ],
    )
    def test_the_combined_state(self, fresh: LocalGitHub, reported: list[tuple[str, str]], combined: str) -> None:
        for context, state in reported:
            call(fresh, "POST", self.URL, json={"state": state, "context": context})
        body = get(fresh, f"{REPO}/commits/{HEAD_SHA}/status").json()
        assert body["state"] == combined
        assert body["total_count"] == len(body["statuses"]) == len({context for context, _ in reported})

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({}, "state"),
            ({"state": "done"}, "state"),
            ({"state": ["success"]}, "state"),
            ({"state": "success", "description": "x" * 141}, "description"),
            ({"state": "success", "target_url": "ftp://example.com"}, "target_url"),
            ({"state": "success", "context": 1}, "context"),
        ],
    )
    def test_what_github_refuses(self, fresh: LocalGitHub, fields: dict[str, Any], field: str) -> None:
        response = call(fresh, "POST", self.URL, json=fields)
        assert response.status_code == 422
        body = response.json()
        schema = {"$ref": "#/components/schemas/validation-error", "components": OPENAPI["components"]}
        OAS30Validator(schema).validate(body)
        assert (body["message"], body["errors"][0]["field"]) == ("Validation Failed", field)
        assert fresh.statuses() == []

    def test_140_characters_are_allowed(self, fresh: LocalGitHub) -> None:
        assert call(fresh, "POST", self.URL, json={"state": "error", "description": "ü" * 140}).status_code == 201

    @pytest.mark.parametrize("sha", [UNKNOWN_SHA, "main", HEAD_SHA[:10]])
    def test_an_unknown_sha(self, fresh: LocalGitHub, sha: str) -> None:
        response = call(fresh, "POST", f"{REPO}/statuses/{sha}", json={"state": "success"})
        assert (response.status_code, response.json()["message"]) == (422, f"No commit found for SHA: {sha}")

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
    def test_a_body_that_is_no_object(self, fresh: LocalGitHub, body: bytes) -> None:
        assert call(fresh, "POST", self.URL, data=body).status_code == 400

    def test_a_commit_has_room_for_a_thousand(self, fresh: LocalGitHub) -> None:
        for _ in range(1000):
            fresh._state.add_status(HEAD_SHA, state="pending", context="a", description=None, target_url=None)
        assert call(fresh, "POST", self.URL, json={"state": "success", "context": "a"}).status_code == 422
        assert call(fresh, "POST", self.URL, json={"state": "success", "context": "b"}).status_code == 201


class TestArchive:
    @staticmethod
    def download(github: LocalGitHub, ref: str) -> bytes:
        redirect = get(github, f"{REPO}/tarball/{ref}".rstrip("/"))
        assert redirect.status_code == 302
        # No token is sent: the address opens it.
        response = requests.get(redirect.headers["Location"], timeout=10)
        assert response.status_code == 200
        return response.content

    def test_it_is_the_tree_of_the_commit(self, github: LocalGitHub) -> None:
        top = f"octo-org-hello-pullback-{HEAD_SHA[:7]}"
        with tarfile.open(fileobj=io.BytesIO(self.download(github, HEAD_SHA)), mode="r:gz") as tar:
            assert tar.pax_headers == {"comment": HEAD_SHA}
            members = {member.name: member for member in tar}
            files = {
                name.removeprefix(f"{top}/"): tar.extractfile(member).read()  # type: ignore[union-attr]
                for name, member in members.items()
                if member.isfile()
            }
        assert next(iter(members)) == top
        assert all(name == top or name.startswith(f"{top}/") for name in members)
        for path, data in files.items():
            assert data == github.read(HEAD_SHA, path)
        assert len(files) == count_blobs(git_directory(github), HEAD_SHA) - 1  # the link
        assert members[f"{top}/docs/README.md"].issym()
        assert members[f"{top}/docs/README.md"].linkname == "index.md"
        assert members[f"{top}/scripts/release.sh"].mode == 0o775
        assert members[f"{top}/README.md"].mode == 0o664

    def test_its_first_member_is_gits(self, github: LocalGitHub) -> None:
        import gzip

        block = gzip.decompress(self.download(github, "main"))
        assert block[:17] == b"pax_global_header"
        assert block[512:564] == f"52 comment={BASE_SHA}\n".encode()

    def test_the_same_commit_gives_the_same_bytes(self, github: LocalGitHub) -> None:
        assert self.download(github, "add-languages") == self.download(github, HEAD_SHA)
        assert self.download(github, "") == self.download(github, "main")

    def test_an_address_opens_one_commit_only(self, github: LocalGitHub) -> None:
        location = get(github, f"{REPO}/tarball/main").headers["Location"]
        assert requests.get(location.replace(BASE_SHA, HEAD_SHA), timeout=10).status_code == 404
        assert requests.get(location.partition("?")[0], timeout=10).status_code == 404

    def test_long_paths_survive(self, fresh: LocalGitHub) -> None:
        path = "/".join(["d" * 60] * 5) + "/ü" + "f" * 120
        pull = fresh.open_pull_request({path: b"deep\n"})
        with tarfile.open(fileobj=io.BytesIO(self.download(fresh, pull.head_sha)), mode="r:gz") as tar:
            assert any(name.endswith(path) for name in tar.getnames())

    def test_an_unknown_ref(self, github: LocalGitHub) -> None:
        assert get(github, f"{REPO}/tarball/nothing").status_code == 404


def count_blobs(directory: Path, sha: str) -> int:
    index = pygit2.Index()
    index.read_tree(pygit2.Repository(str(directory))[sha].peel(pygit2.Tree))
    return len(index)


class TestPyGithub:
    def test_it_reads_the_pull_request(self, github: LocalGitHub) -> None:
        pull = pygithub(github).get_repo("octo-org/hello-pullback").get_pull(7)
        assert pull.title == "Greet people in three languages 👋"
        assert pull.head.sha == github.pull_request.head_sha
        assert pull.base.repo.full_name == "octo-org/hello-pullback"
        assert pull.mergeable
        files = {file.filename: file for file in pull.get_files()}
        assert files["docs/operations.md"].previous_filename == "docs/deploy.md"
        assert files["assets/logo.png"].patch is None

    def test_it_follows_pages(self, fresh: LocalGitHub) -> None:
        opened = fresh.open_pull_request({f"data/{number}.txt": b"x\n" for number in range(65)})
        pull = pygithub(fresh).get_repo(opened.full_name).get_pull(opened.number)
        assert len({file.filename for file in pull.get_files()}) == 65
        assert [request.path for request in fresh.requests()].count(f"{REPO}/pulls/{opened.number}/files") == 3

    def test_it_reports_statuses(self, fresh: LocalGitHub) -> None:
        commit = pygithub(fresh).get_repo("octo-org/hello-pullback").get_commit(HEAD_SHA)
        commit.create_status("pending", context="pullback/build")
        created = commit.create_status("success", "https://example.com/1", "Done", "pullback/build")
        assert created.creator.login == "pullback[bot]"
        assert [status.state for status in commit.get_statuses()] == ["success", "pending"]
        assert commit.get_combined_status().state == "success"
        with pytest.raises(GithubException) as refused:
            commit.create_status("success", description="x" * 141)
        assert refused.value.status == 422

    def test_it_finds_the_archive(self, github: LocalGitHub) -> None:
        link = pygithub(github).get_repo("octo-org/hello-pullback").get_archive_link("tarball", HEAD_SHA)
        assert requests.get(link, timeout=10).headers["Content-Type"] == "application/x-gzip"

    def test_it_signs_in_as_an_app(self, github: LocalGitHub) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        auth = Auth.AppAuth(12345, key.decode()).get_installation_auth(INSTALLATION)
        client = Github(auth=auth, base_url=github.api_url, retry=None)
        assert client.get_repo("octo-org/hello-pullback").default_branch == "main"

    def test_it_asks_for_the_rate(self, github: LocalGitHub) -> None:
        assert pygithub(github).get_rate_limit().resources.core.limit == 5000

    def test_it_knows_the_errors(self, fresh: LocalGitHub) -> None:
        from github import BadCredentialsException, RateLimitExceededException, UnknownObjectException

        with pytest.raises(BadCredentialsException):
            Github(auth=Auth.Token("wrong"), base_url=fresh.api_url, retry=None).get_repo("octo-org/hello-pullback")
        with pytest.raises(UnknownObjectException):
            pygithub(fresh).get_repo("octo-org/nothing")
        fresh.fail(Fault.rate_limit(times=1))
        with pytest.raises(RateLimitExceededException):
            pygithub(fresh).get_repo("octo-org/hello-pullback")
        fresh.fail(Fault.secondary_rate_limit(times=1))
        with pytest.raises(GithubException) as limited:  # PyGithub takes only a 403 for a rate limit
            pygithub(fresh).get_repo("octo-org/hello-pullback")
        assert limited.value.status == 429


class TestFaults:
    def test_a_status_a_number_of_times(self, fresh: LocalGitHub) -> None:
        fresh.fail(method="GET", path="/files$", status=502, times=2)
        answers = [get(fresh, f"{REPO}/pulls/7/files").status_code for _ in range(3)]
        assert answers == [502, 502, 200]

    def test_it_meets_only_what_matches(self, fresh: LocalGitHub) -> None:
        fresh.fail(method="POST", path="/statuses/", status=503, headers={"Retry-After": "1"}, body={"message": "no"})
        assert get(fresh, REPO).status_code == 200
        refused = call(fresh, "POST", f"{REPO}/statuses/{HEAD_SHA}", json={"state": "success"})
        assert (refused.status_code, refused.json(), refused.headers["Retry-After"]) == (503, {"message": "no"}, "1")
        assert fresh.statuses() == []
        fresh.clear_faults()
        assert call(fresh, "POST", f"{REPO}/statuses/{HEAD_SHA}", json={"state": "success"}).status_code == 201

    def test_a_lost_answer_has_its_effect(self, fresh: LocalGitHub) -> None:
        fresh.fail(method="POST", cut=True, times=1)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            call(fresh, "POST", f"{REPO}/statuses/{HEAD_SHA}", json={"state": "success"})
        assert len(fresh.statuses()) == 1

    def test_an_archive_is_cut(self, fresh: LocalGitHub) -> None:
        fresh.fail(path="/_codeload/", cut=True)
        location = get(fresh, f"{REPO}/tarball/main").headers["Location"]
        with requests.get(location, stream=True, timeout=10) as response:
            assert response.status_code == 200
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                _ = response.content

    def test_a_delay(self, fresh: LocalGitHub) -> None:
        fresh.fail(delay=0.4, times=1)
        start = time.monotonic()
        assert get(fresh, REPO).status_code == 200
        assert time.monotonic() - start >= 0.4
        fresh.fail(delay=3, times=1)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(f"{fresh.api_url}/meta", timeout=0.3)

    def test_a_fault_must_make_sense(self, fresh: LocalGitHub) -> None:
        with pytest.raises(re.error):
            fresh.fail(path="(")
        with pytest.raises(TypeError):
            fresh.fail(code=502)

    def test_a_bound_in_time(self, fresh: LocalGitHub) -> None:
        fresh.fail(status=502, lasts=0.4)
        time.sleep(0.5)
        # From the first request on that it meets.
        assert get(fresh, REPO).status_code == 502
        assert get(fresh, REPO).status_code == 502
        time.sleep(0.5)
        assert get(fresh, REPO).status_code == 200

    def test_every_third_request(self, fresh: LocalGitHub) -> None:
        fresh.fail(path="/pulls/7$", status=502, every=3, times=2)
        assert get(fresh, REPO).status_code == 200
        answers = [get(fresh, f"{REPO}/pulls/7").status_code for _ in range(9)]
        assert answers == [200, 200, 502, 200, 200, 502, 200, 200, 200]

    def test_a_text_in_place_of_json(self, fresh: LocalGitHub) -> None:
        fresh.fail(status=200, body="<html>Unicorn!</html>", times=1)
        odd = get(fresh, f"{REPO}/pulls/7")
        assert (odd.status_code, odd.text) == (200, "<html>Unicorn!</html>")
        assert odd.headers["Content-Type"] == "text/html; charset=utf-8"
        fresh.fail(status=200, body="{", content_type="application/json", times=1)
        assert get(fresh, f"{REPO}/pulls/7").headers["Content-Type"] == "application/json"

    def test_half_an_archive_that_looks_whole(self, fresh: LocalGitHub) -> None:
        fresh.fail(path="/_codeload/", short=True, times=1)
        location = get(fresh, f"{REPO}/tarball/main").headers["Location"]
        half, whole = requests.get(location, timeout=10), requests.get(location, timeout=10)
        assert half.status_code == 200
        assert int(half.headers["Content-Length"]) == len(half.content) == len(whole.content) // 2
        with pytest.raises((tarfile.TarError, EOFError)), tarfile.open(fileobj=io.BytesIO(half.content)) as tar:
            tar.getmembers()


class TestLag:
    def test_nothing_is_known_yet(self, fresh: LocalGitHub) -> None:
        location = get(fresh, f"{REPO}/tarball/main").headers["Location"]
        fresh.fail(lag="unknown")
        answers = {
            path: get(fresh, path if path.startswith("http") else f"{REPO}/{path}")
            for path in ("pulls/7", "pulls/7/files", f"tarball/{HEAD_SHA}", f"commits/{HEAD_SHA}/statuses", location)
        }
        assert {answer.status_code for answer in answers.values()} == {404}
        assert_as_described(answers["pulls/7"], PULL)
        assert get(fresh, f"{REPO}/commits/{HEAD_SHA}").json()["message"] == f"No commit found for SHA: {HEAD_SHA}"
        assert get(fresh, REPO).status_code == 200, "the repository is an old one"

    def test_a_status_is_answered_as_for_a_commit_that_there_is_not(self, fresh: LocalGitHub) -> None:
        def post(sha: str) -> requests.Response:
            return call(fresh, "POST", f"{REPO}/statuses/{sha}", json={"state": "success"})

        real = post(UNKNOWN_SHA)
        fresh.fail(lag="unknown", times=1)
        lag = post(HEAD_SHA)
        assert lag.status_code == real.status_code == 422
        assert lag.json() == real.json() | {"message": f"No commit found for SHA: {HEAD_SHA}"}
        assert fresh.statuses() == []
        assert post(HEAD_SHA).status_code == 201

    def test_the_pull_request_as_before_the_push(self, fresh: LocalGitHub) -> None:
        files_before = get(fresh, f"{REPO}/pulls/7/files").json()
        sha = fresh.push({"src/new.py": b"X = 1\n"})
        now = get(fresh, f"{REPO}/pulls/7").json()
        fresh.fail(lag="older", times=2)
        before = get(fresh, f"{REPO}/pulls/7")
        files = get(fresh, f"{REPO}/pulls/7/files").json()
        assert_as_described(before, PULL)
        assert (before.json()["head"]["sha"], now["head"]["sha"]) == (HEAD_SHA, sha)
        assert before.json()["updated_at"] < now["updated_at"]
        assert before.json()["changed_files"] == len(files) == now["changed_files"] - 1
        assert [one["filename"] for one in files] == [one["filename"] for one in files_before]
        assert get(fresh, f"{REPO}/pulls/7").json() == now

    def test_the_pull_request_as_before_the_first_commit(self, fresh: LocalGitHub) -> None:
        opened = fresh.open_pull_request({"a.txt": b"a\n"})
        fresh.fail(lag="older")
        before = get(fresh, f"{REPO}/pulls/{opened.number}").json()
        assert before["head"]["sha"] == opened.base_sha == opened.before_sha
        assert before["updated_at"] < str(opened.updated_at)
        assert get(fresh, f"{REPO}/pulls/{opened.number}/files").json() == []
        created = call(fresh, "POST", f"{REPO}/statuses/{opened.head_sha}", json={"state": "success"})
        assert created.status_code == 201, "what it says nothing about"

    def test_the_pull_request_as_before_another_base(self, fresh: LocalGitHub) -> None:
        fresh.change_base(7, "release")
        fresh.fail(lag="older", times=1)
        before, now = get(fresh, f"{REPO}/pulls/7").json(), get(fresh, f"{REPO}/pulls/7").json()
        assert (before["base"]["ref"], now["base"]["ref"]) == ("main", "release")
        assert before["head"]["sha"] == now["head"]["sha"]
        assert before["updated_at"] < now["updated_at"]

    @pytest.mark.parametrize("fault", [{"lag": "sometimes"}, {"every": 0}])
    def test_it_must_make_sense(self, fresh: LocalGitHub, fault: dict[str, Any]) -> None:
        with pytest.raises(TypeError):
            fresh.fail(**fault)


class TestRenamed:
    NEW = "octo-labs/hello-again"

    @pytest.mark.parametrize("path", ["", "/pulls/7", "/pulls/7/files?page=1&per_page=2", f"/tarball/{HEAD_SHA}"])
    def test_a_read_by_the_former_name(self, fresh: LocalGitHub, path: str) -> None:
        fresh.rename(self.NEW)
        moved = get(fresh, f"{REPO}{path}")
        assert moved.status_code == 301
        assert moved.headers["Location"] == f"{fresh.api_url}/repositories/861204877{path}"
        assert moved.json() == {
            "message": "Moved Permanently",
            "url": moved.headers["Location"],
            "documentation_url": (
                "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"
            ),
        }
        followed, direct = get(fresh, moved.headers["Location"]), get(fresh, f"/repos/{self.NEW}{path}")
        assert followed.status_code == direct.status_code == (302 if "tarball" in path else 200)
        assert followed.content == direct.content

    def test_the_answer_is_as_described(self, fresh: LocalGitHub) -> None:
        fresh.rename(self.NEW)
        assert_as_described(get(fresh, REPO), "/repos/{owner}/{repo}")
        assert_as_described(
            get(fresh, f"{REPO}/commits/{HEAD_SHA}/statuses"), "/repos/{owner}/{repo}/commits/{ref}/statuses"
        )

    def test_a_write_by_the_former_name(self, fresh: LocalGitHub) -> None:
        fresh.rename(self.NEW)
        moved = call(fresh, "POST", f"{REPO}/statuses/{HEAD_SHA}", json={"state": "success"})
        assert (moved.status_code, moved.json()["message"]) == (307, "Moved Permanently")
        assert fresh.statuses() == []
        created = call(fresh, "POST", moved.headers["Location"], json={"state": "success"})
        assert created.status_code == 201
        assert_as_described(created, STATUSES)
        assert [status.sha for status in fresh.statuses()] == [HEAD_SHA]

    def test_everything_of_a_repository_is_there_by_its_id(self, tmp_path: Path) -> None:
        app = create_app(State(GitRepository(tmp_path), TOKEN), Bodies(api="http://api", html="http://html"))
        rules = {rule.rule for rule in app.url_map.iter_rules()}
        by_name = {rule.removeprefix("/repos/<owner>/<repo>") for rule in rules if rule.startswith("/repos/")}
        by_id = {rule.removeprefix("/repositories/<int:repository_id>") for rule in rules if "repository_id" in rule}
        assert by_name == by_id
        assert len(by_name) > 10

    def test_it_tells_its_new_name(self, fresh: LocalGitHub) -> None:
        fresh.rename(self.NEW)
        assert get(fresh, "/repositories/861204877").json()["full_name"] == self.NEW == fresh.pull_request.full_name
        assert get(fresh, f"/repos/{self.NEW}/pulls/7").json()["head"]["repo"]["full_name"] == self.NEW

    def test_it_gets_its_name_back(self, fresh: LocalGitHub) -> None:
        fresh.rename(self.NEW)
        fresh.rename("octo-org/hello-pullback")
        assert get(fresh, REPO).status_code == 200
        assert get(fresh, f"/repos/{self.NEW}").status_code == 301

    def test_others_stay_unknown(self, fresh: LocalGitHub) -> None:
        fresh.rename(self.NEW)
        assert get(fresh, "/repos/octo-org/other").status_code == 404
        assert get(fresh, "/repositories/1").status_code == 404
        assert requests.get(fresh.api_url + REPO, timeout=10, allow_redirects=False).status_code == 401

    def test_an_archive_under_way(self, fresh: LocalGitHub) -> None:
        location = get(fresh, f"{REPO}/tarball/main").headers["Location"]
        fresh.rename(self.NEW)
        assert requests.get(location, timeout=10).headers["Content-Type"] == "application/x-gzip"


class TestRevoked:
    def test_every_token_until_a_new_one(self, fresh: LocalGitHub) -> None:
        app = {"Authorization": f"Bearer {TestAccess.app_token()}"}

        def installed() -> dict[str, str]:
            issued = call(fresh, "POST", f"/app/installations/{INSTALLATION}/access_tokens", headers=app)
            return {"Authorization": f"Bearer {issued.json()['token']}"}

        old = installed()
        assert get(fresh, REPO, headers=old).status_code == 200
        configured = fresh.revoke()
        for headers in ({}, old):
            refused = get(fresh, REPO, headers=headers)
            assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")
        for headers in (installed(), {"Authorization": f"Bearer {configured}"}):
            assert get(fresh, REPO, headers=headers).status_code == 200

    def test_one_may_be_given(self, fresh: LocalGitHub) -> None:
        assert fresh.revoke("another") == "another"
        assert get(fresh, REPO).status_code == 401
        assert fresh.revoke(TOKEN) == TOKEN
        assert get(fresh, REPO).status_code == 200


class TestControl:
    def test_faults(self, fresh: LocalGitHub) -> None:
        control = f"{fresh.api_url}/_local/faults"
        fault: dict[str, Any] = {
            "method": None,
            "path": "/pulls/7$",
            "status": 502,
            "headers": {},
            "body": None,
            "delay": 0,
        }
        assert requests.post(control, json=fault | {"times": None, "cut": False}, timeout=10).status_code == 201
        assert get(fresh, f"{REPO}/pulls/7").status_code == 502
        assert GitHubControl(fresh.api_url).faults() == [{"method": None, "path": "/pulls/7$", "met": 1}]
        assert requests.delete(control, timeout=10).json() == {}
        assert GitHubControl(fresh.api_url).faults() == []
        assert get(fresh, f"{REPO}/pulls/7").status_code == 200
        requests.post(control, json={"kind": "secondary_rate_limit", "seconds": 7}, timeout=10)
        assert get(fresh, REPO).headers["Retry-After"] == "7"

    @pytest.mark.parametrize("fault", [{"status_code": 502}, {"path": "("}, {"kind": "meteor"}])
    def test_a_fault_that_makes_no_sense(self, fresh: LocalGitHub, fault: dict[str, Any]) -> None:
        assert requests.post(f"{fresh.api_url}/_local/faults", json=fault, timeout=10).status_code == 400
        assert get(fresh, REPO).status_code == 200

    def test_requests_without_anything_secret(self, fresh: LocalGitHub) -> None:
        location = get(fresh, f"{REPO}/tarball/main").headers["Location"]
        requests.get(location, timeout=10)
        get(fresh, "/nothing")
        response = requests.get(f"{fresh.api_url}/_local/requests", timeout=10)
        assert response.json() == [
            {"method": "GET", "path": f"{REPO}/tarball/main", "status": 302},
            {"method": "GET", "path": f"/_codeload/octo-org/hello-pullback/legacy.tar.gz/{BASE_SHA}", "status": 200},
            {"method": "GET", "path": "/nothing", "status": 404},
        ]
        assert TOKEN not in response.text
        assert location.partition("token=")[2] not in response.text

    def test_a_push_supersedes_the_head(self, fresh: LocalGitHub) -> None:
        response = requests.post(f"{fresh.api_url}/_local/push", json={}, timeout=10)
        assert response.status_code == 201
        sha = response.json()["sha"]
        assert sha != HEAD_SHA
        assert get(fresh, f"{REPO}/pulls/7").json()["head"]["sha"] == sha == fresh.pull_request.head_sha
        commit = get(fresh, f"{REPO}/commits/{sha}").json()
        assert [parent["sha"] for parent in commit["parents"]] == [HEAD_SHA]
        assert [file["filename"] for file in commit["files"]] == ["CHANGELOG.md"]
        assert fresh.push() != sha

    def test_a_push_of_files(self, fresh: LocalGitHub) -> None:
        files = {"src/new.py": "X = 1\n", "README.md": None}
        sha = requests.post(f"{fresh.api_url}/_local/push", json={"files": files}, timeout=10).json()["sha"]
        assert fresh.read(sha, "src/new.py") == b"X = 1\n"
        with pytest.raises(KeyError):
            fresh.read(sha, "README.md")
        assert requests.post(f"{fresh.api_url}/_local/push", json={"number": 99}, timeout=10).status_code == 404

    def test_pull_requests(self, fresh: LocalGitHub) -> None:
        control = f"{fresh.api_url}/_local/pull_requests"
        assert PullRequest(**requests.get(f"{control}/7", timeout=10).json()) == fresh.pull_request
        response = requests.post(control, json={"title": "Another", "files": {"a": "a\n"}}, timeout=10)
        opened = PullRequest(**response.json())
        assert (opened.number, opened.title) == (8, "Another")
        assert get(fresh, f"{REPO}/pulls/8").json()["changed_files"] == 1
        assert requests.get(f"{control}/9", timeout=10).status_code == 404
        assert requests.post(control, json={"files": {"a": 1}}, timeout=10).status_code == 400

    def test_a_base(self, fresh: LocalGitHub) -> None:
        control = GitHubControl(fresh.api_url)
        before = control.change_base("release-1")
        now = control.pull_request()
        assert (before.base_ref, now.base_ref, now.head_sha) == ("main", "release-1", before.head_sha)
        assert now.base_sha != before.base_sha
        assert get(fresh, f"{REPO}/pulls/7").json()["base"]["sha"] == now.base_sha
        assert get(fresh, f"{REPO}/commits/release-1").json()["sha"] == now.base_sha
        assert fresh.open_pull_request({"a": b"a"}).base_ref == "main"
        url = f"{fresh.api_url}/_local/pull_requests"
        assert requests.post(f"{url}/99/base", json={"ref": "main"}, timeout=10).status_code == 404
        for ref in ("", "../x", None):
            assert requests.post(f"{url}/7/base", json={"ref": ref}, timeout=10).status_code == 400

    def test_a_name_and_tokens(self, fresh: LocalGitHub) -> None:
        control = GitHubControl(fresh.api_url)
        control.rename("octo-org/renamed")
        assert fresh.pull_request.full_name == "octo-org/renamed"
        for name in ("renamed", "a/b/c", "a b/c"):
            url = f"{fresh.api_url}/_local/rename"
            assert requests.post(url, json={"full_name": name}, timeout=10).status_code == 400
        assert get(fresh, f"{REPO}/pulls/7").status_code == 301
        token = control.revoke()
        assert get(fresh, f"{REPO}/pulls/7").status_code == 401
        assert get(fresh, "/meta", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert [(one["path"], one["status"]) for one in control.requests()][:2] == [
            (f"{REPO}/pulls/7", 301),
            (f"{REPO}/pulls/7", 401),
        ]

    def test_a_lag(self, fresh: LocalGitHub) -> None:
        control = GitHubControl(fresh.api_url)
        control.fail(kind="lag", times=1)
        assert [get(fresh, f"{REPO}/pulls/7").status_code for _ in range(2)] == [404, 200]
        control.fail(kind="lag", lag="older", lasts=60)
        assert get(fresh, f"{REPO}/pulls/7").json()["head"]["sha"] == fresh.pull_request.before_sha

    def test_the_time_of_the_last_change(self, fresh: LocalGitHub) -> None:
        opened = fresh.open_pull_request({"a.txt": b"a\n"})
        seen = [get(fresh, f"{REPO}/pulls/{opened.number}").json()["updated_at"]]
        assert seen == [opened.updated_at]
        for change in (lambda: fresh.push(number=opened.number), lambda: fresh.change_base(opened.number, "next")):
            time.sleep(1.1)
            change()
            seen.append(get(fresh, f"{REPO}/pulls/{opened.number}").json()["updated_at"])
        assert seen == sorted(set(seen))
        assert abs(datetime.fromisoformat(seen[-1]).timestamp() - time.time()) < 5

    def test_the_modes_of_files_are_kept(self, fresh: LocalGitHub) -> None:
        sha = fresh.push({"scripts/release.sh": b"#!/bin/sh\n", "link": File(b"README.md", symlink=True)})
        tree = pygit2.Repository(str(git_directory(fresh)))[sha].peel(pygit2.Tree)
        assert tree["scripts/release.sh"].filemode == pygit2.enums.FileMode.BLOB_EXECUTABLE
        assert tree["link"].filemode == pygit2.enums.FileMode.LINK


DELIVERIES = "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"
HOOK = f"{REPO}/hooks/471884113/deliveries"
SECRET = "canary-secret-of-the-hook"
BODY = '{"action":"opened","title":"ünï  odd"}'.encode()


class Receiver:
    """A webhook: keeps what comes, and answers what it is told to."""

    def __init__(self) -> None:
        self.status = 202
        self.delay = 0.0
        self.requests: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                time.sleep(receiver.delay)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "17")
                self.end_headers()
                self.wfile.write(b'{"result":"done"}')

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TestDeliveries:
    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        receiver = Receiver()
        yield receiver
        receiver.close()

    @pytest.fixture
    def hooked(self, fresh: LocalGitHub, receiver: Receiver) -> LocalGitHub:
        for hook in HOOK_NAMES:
            fresh.set_hook(receiver.url, SECRET, hook=hook, timeout=0.5)
        return fresh

    @staticmethod
    def as_app(github: LocalGitHub, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TestAccess.app_token()}"}
        return call(github, method, path, headers=headers, **options)

    def test_a_delivery_is_sent_signed_and_kept(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        sent = hooked.deliver(BODY, event="pull_request")
        ((headers, body),) = receiver.requests
        assert body == BODY
        assert headers["X-Hub-Signature-256"] == sign(SECRET, BODY)
        assert (headers["X-GitHub-Event"], headers["X-GitHub-Delivery"]) == ("pull_request", sent.guid)
        (item,) = get(hooked, HOOK).json()
        assert item["delivered_at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        assert {
            name: item[name] for name in ("id", "guid", "redelivery", "status", "status_code", "event", "action")
        } == {
            "id": sent.id,
            "guid": sent.guid,
            "redelivery": False,
            "status": "OK",
            "status_code": 202,
            "event": "pull_request",
            "action": "opened",
        }
        whole = get(hooked, f"{HOOK}/{sent.id}").json()
        assert whole["request"]["payload"] == json.loads(BODY)
        assert whole["response"]["payload"] == '{"result":"done"}'
        assert item.items() <= whole.items()

    def test_answers_are_as_described(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        hooked.deliver(BODY)
        hooked.deliver(BODY, hook="app")
        receiver.close()
        failed, app = hooked.deliver(b"no JSON"), hooked.deliver(b"[]", hook="app")
        listed = get(hooked, HOOK)
        assert len(listed.json()) == 2
        assert_as_described(listed, DELIVERIES)
        assert_as_described(get(hooked, f"{HOOK}/{failed.id}"), f"{DELIVERIES}/{{delivery_id}}")
        again = call(hooked, "POST", f"{HOOK}/{failed.id}/attempts")
        assert again.status_code == 202
        assert_as_described(again, f"{DELIVERIES}/{{delivery_id}}/attempts")
        path, template = "/app/hook/deliveries", "/app/hook/deliveries"
        assert_as_described(self.as_app(hooked, "GET", path), template)
        assert_as_described(self.as_app(hooked, "GET", f"{path}/{app.id}"), f"{template}/{{delivery_id}}")
        again = self.as_app(hooked, "POST", f"{path}/{app.id}/attempts")
        assert again.status_code == 202
        assert_as_described(again, f"{template}/{{delivery_id}}/attempts")
        assert_as_described(self.as_app(hooked, "GET", f"{REPO}/installation"), "/repos/{owner}/{repo}/installation")

    def test_an_organisations_answers_are_a_repositorys(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        path = f"/orgs/octo-org/hooks/{ORGANISATION_HOOK_ID}/deliveries"
        hooked.deliver(BODY, hook="organisation")
        receiver.close()
        failed = hooked.deliver(BODY, hook="organisation")
        listed = get(hooked, path)
        assert [one["status"] for one in listed.json()] == ["failed to connect to host", "OK"]
        assert_as_described(listed, DELIVERIES)
        assert_as_described(get(hooked, f"{path}/{failed.id}"), f"{DELIVERIES}/{{delivery_id}}")
        again = call(hooked, "POST", f"{path}/{failed.id}/attempts")
        assert again.status_code == 202
        assert_as_described(again, f"{DELIVERIES}/{{delivery_id}}/attempts")
        assert get(hooked, f"/orgs/octo-org/hooks/{ORGANISATION_HOOK_ID + 1}/deliveries").status_code == 404
        installation = self.as_app(hooked, "GET", "/orgs/octo-org/installation")
        assert_as_described(installation, "/repos/{owner}/{repo}/installation")

    def test_what_goes_wrong_is_told_in_githubs_words(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        receiver.status = 503
        hooked.deliver(BODY)
        receiver.delay = 1
        hooked.deliver(BODY)
        receiver.close()
        hooked.deliver(BODY)
        assert [(one["status"], one["status_code"]) for one in get(hooked, HOOK).json()] == [
            ("failed to connect to host", 502),
            ("timed out", 504),
            ("Invalid HTTP Response: 503", 503),
        ]
        assert 0.4 < get(hooked, HOOK).json()[1]["duration"] < 1
        assert [len(get(hooked, f"{HOOK}?status={status}").json()) for status in ("success", "failure")] == [0, 3]

    def test_redelivery_sends_the_same_again(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        receiver.status = 503
        first = hooked.deliver(BODY, guid="0b989ba4-242f-11e5-81e1-c7b6966d2516", ago=3600)
        receiver.status, receiver.delay = 200, 0.2
        started = time.monotonic()
        assert call(hooked, "POST", f"{HOOK}/{first.id}/attempts").status_code == 202
        assert time.monotonic() - started < 0.2, "it does not wait for the webhook"
        again, before = hooked.deliveries()
        assert before == first
        assert (again.guid, again.redelivery, again.status_code, again.body) == (first.guid, True, 200, BODY)
        assert again.id != first.id
        assert receiver.requests[0] == receiver.requests[1]

    def test_pages_by_cursor_lead_to_the_oldest(self, hooked: LocalGitHub) -> None:
        sent = [hooked.deliver(BODY, ago=100 - number).id for number in range(5)]
        found, url = [], f"{hooked.api_url}{HOOK}?per_page=2"
        while url:
            response = get(hooked, url)
            assert len(response.json()) <= 2
            found += [one["id"] for one in response.json()]
            # What comes in meanwhile does not move the pages.
            hooked.deliver(BODY)
            assert set(response.links) <= {"next"}
            url = response.links.get("next", {}).get("url", "")
        assert found == sent[::-1]
        assert len(get(hooked, HOOK).json()) == 8

    @pytest.mark.parametrize("query", ["cursor=v1_1", "cursor=2", "status=odd"])
    def test_what_makes_no_sense_is_unprocessable(self, hooked: LocalGitHub, query: str) -> None:
        response = get(hooked, f"{HOOK}?{query}")
        assert response.status_code == 422
        assert_as_described(response, DELIVERIES)

    def test_unknown_hooks_and_deliveries_are_not_found(self, hooked: LocalGitHub) -> None:
        old = hooked.deliver(BODY, ago=KEPT_SECONDS + 1)
        for path in (f"{REPO}/hooks/1/deliveries", f"{HOOK}/1", f"{HOOK}/{old.id}"):
            assert get(hooked, path).status_code == 404
        assert call(hooked, "POST", f"{HOOK}/{old.id}/attempts").status_code == 404
        assert get(hooked, HOOK).json() == []

    def test_each_hook_has_its_own_and_its_own_key(self, hooked: LocalGitHub, receiver: Receiver) -> None:
        sent = hooked.deliver(BODY, hook="app")
        assert get(hooked, HOOK).json() == []
        assert [one["id"] for one in self.as_app(hooked, "GET", "/app/hook/deliveries").json()] == [sent.id]
        assert receiver.requests[0][0]["X-GitHub-Hook-Installation-Target-Type"] == "integration"
        assert get(hooked, "/app/hook/deliveries").status_code == 401
        assert self.as_app(hooked, "GET", HOOK).status_code == 401
        assert get(hooked, f"{REPO}/installation").status_code == 401

    def test_another_process_controls_it(self, fresh: LocalGitHub, receiver: Receiver) -> None:
        control = GitHubControl(fresh.api_url)
        with pytest.raises(requests.HTTPError, match="404"):
            control.deliver(BODY)
        control.set_hook(receiver.url, SECRET)
        receiver.status = 500
        sent = control.deliver(BODY, event="push", guid="0b989ba4-242f-11e5-81e1-c7b6966d2516", ago=60)
        assert (sent["event"], sent["status"]) == ("push", "Invalid HTTP Response: 500")
        receiver.status, receiver.delay = 200, 0.2
        call(fresh, "POST", f"{HOOK}/{sent['id']}/attempts")
        assert [(one["guid"], one["redelivery"], one["status_code"]) for one in control.deliveries()] == [
            (sent["guid"], True, 200),
            (sent["guid"], False, 500),
        ]
        assert [body for _, body in receiver.requests] == [BODY, BODY]
        payload = requests.post(
            f"{fresh.api_url}/_local/hooks/repository/deliveries", json={"payload": {"ünï": 1}}, timeout=10
        )
        assert payload.status_code == 201
        assert receiver.requests[-1][1] == '{"ünï":1}'.encode()

    @pytest.mark.parametrize(
        ("name", "fields", "status"),
        [
            ("repository", {"url": "http://127.0.0.1:9"}, 400),
            ("repository", {"url": "http://127.0.0.1:9", "secret": "s", "timeout": "long"}, 400),
            ("organization", {"url": "http://127.0.0.1:9", "secret": "s"}, 404),
        ],
    )
    def test_a_hook_must_make_sense(self, fresh: LocalGitHub, name: str, fields: dict[str, Any], status: int) -> None:
        assert requests.put(f"{fresh.api_url}/_local/hooks/{name}", json=fields, timeout=10).status_code == status

    def test_nobody_is_told_the_secret(self, hooked: LocalGitHub) -> None:
        sent = hooked.deliver(BODY)
        told = [get(hooked, HOOK), get(hooked, f"{HOOK}/{sent.id}")]
        told += [requests.get(f"{hooked.api_url}/_local/hooks/repository/deliveries", timeout=10)]
        assert not [response for response in told if SECRET in response.text]

    def test_pygithub_lists_them(self, hooked: LocalGitHub) -> None:
        sent = hooked.deliver(BODY)
        repository = pygithub(hooked).get_repo("octo-org/hello-pullback")
        (listed,) = repository.get_hook_deliveries(471884113)
        assert (listed.id, listed.guid) == (sent.id, sent.guid)


class TestProcess:
    @staticmethod
    def start(directory: Path, *arguments: str, token: str | None = TOKEN) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "LOCAL_GITHUB_TOKEN"}
        environment |= {"PYTHONPATH": str(ROOT)} | ({"LOCAL_GITHUB_TOKEN": token} if token else {})
        command = [sys.executable, "-m", "local.github", "--directory", str(directory / "github"), *arguments]
        return subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @classmethod
    def started(cls, directory: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], str]:
        port_file = directory / "port"
        process = cls.start(directory, "--port-file", str(port_file), *arguments)
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, f"http://127.0.0.1:{int(port_file.read_text())}"

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
        try:
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
        return process.returncode, errors

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, tmp_path: Path, number: signal.Signals) -> None:
        process, url = self.started(tmp_path)
        assert requests.get(f"{url}{REPO}", headers={"Authorization": f"token {TOKEN}"}, timeout=10).ok
        process.send_signal(number)
        assert self.end(process) == (0, b"")
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/meta", timeout=2)

    def test_it_ends_with_its_parent(self, tmp_path: Path) -> None:
        process, url = self.started(tmp_path, "--exit-with-parent")
        assert requests.get(f"{url}/meta", timeout=10).ok
        assert process.stdin
        process.stdin.close()
        process.stdin = None
        assert self.end(process) == (0, b"")

    def test_it_outlives_its_parent_otherwise(self, tmp_path: Path) -> None:
        process, url = self.started(tmp_path)
        assert process.stdin
        process.stdin.close()
        process.stdin = None
        time.sleep(0.3)
        assert requests.get(f"{url}/meta", timeout=10).ok
        process.terminate()
        assert self.end(process) == (0, b"")

    def test_it_wants_a_token(self, tmp_path: Path) -> None:
        code, errors = self.end(self.start(tmp_path, token=None))
        assert code == 2
        assert b"LOCAL_GITHUB_TOKEN" in errors

    def test_it_listens_on_the_loopback_address_only(self, github: LocalGitHub) -> None:
        assert github.api_url.startswith("http://127.0.0.1:")
        assert github._server.server_address[0] == "127.0.0.1"
