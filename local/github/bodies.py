"""The bodies of GitHub's answers, shaped as its OpenAPI description says (tests/data/github-openapi.json)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from local.github import sample
from local.github.model import GONE, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.github.checks import CheckRun
    from local.github.hooks import Delivery
    from local.github.model import Body, ChangedFile, Commit, PullRequest

CONTENT_MAX = 1024 * 1024
"""Bytes of a file up to which "get repository content" has them in its answer."""

OWNER_ID = 9919
REPOSITORY_ID = 861204877
FORK_ID = REPOSITORY_ID + 1
PULL_REQUEST_ID = 2093847100  # plus the number
USER_IDS = {"octocat": 583231}
CREATED_AT = "2026-03-02T09:00:00Z"

# Path below a repository's address -> RFC 6570 template that follows it, as GitHub spells both.
_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def suite_id(sha: str) -> int:
    """The check suite of a commit: GitHub makes one for each commit and App."""
    return 51_000_000_000 + int(sha[:8], 16)


def node_id(kind: str, number: int) -> str:
    """A GraphQL id in the older of GitHub's two forms, which is base64 of the kind and the number."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def hook_delivery_item(delivery: Delivery) -> Body:
    """A delivery as lists have it: nothing of what was sent or answered."""
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": timestamp(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": REPOSITORY_ID,
        "throttled_at": None,
    }


def hook_delivery(delivery: Delivery) -> Body:
    """A delivery with its request and its response."""
    try:
        payload = json.loads(delivery.body)
    except ValueError:
        payload = None
    return hook_delivery_item(delivery) | {
        "url": delivery.url,
        "request": {
            "headers": delivery.request_headers,
            "payload": payload if isinstance(payload, dict) else None,
        },
        "response": {"headers": delivery.response_headers, "payload": delivery.response_body},
    }


@dataclass(frozen=True, slots=True)
class Status:
    """A commit status as it was reported."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Bodies:
    """Makes bodies whose addresses point at one GitHub.

    Args:
        api: address of the API, ``https://api.github.com`` or the local server's.
        html: address of the pages for people.
    """

    api: str
    html: str

    def user(self, login: str, kind: str = "User") -> Body:
        """A "simple user"; organizations are users too."""
        number = OWNER_ID if kind == "Organization" else USER_IDS.get(login, 1 + sum(login.encode()))
        url = f"{self.api}/users/{quote(login)}"
        return {
            "login": login,
            "id": number,
            "node_id": node_id(kind, number),
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.html}/{quote(login)}",
            "followers_url": f"{url}/followers",
            "following_url": f"{url}/following{{/other_user}}",
            "gists_url": f"{url}/gists{{/gist_id}}",
            "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
            "subscriptions_url": f"{url}/subscriptions",
            "organizations_url": f"{url}/orgs",
            "repos_url": f"{url}/repos",
            "events_url": f"{url}/events{{/privacy}}",
            "received_events_url": f"{url}/received_events",
            "type": kind,
            "site_admin": False,
        }

    def repository(self, full_name: str) -> Body:
        """A "repository", as pull requests hold it in head and base."""
        owner, _, name = full_name.partition("/")
        url = f"{self.api}/repos/{full_name}"
        html = f"{self.html}/{full_name}"
        host = self.html.partition("://")[2]
        return {
            "id": REPOSITORY_ID,
            "node_id": node_id("Repository", REPOSITORY_ID),
            "name": name,
            "full_name": full_name,
            "private": True,
            "owner": self.user(owner, "Organization"),
            "html_url": html,
            "description": sample.DESCRIPTION,
            "fork": False,
            "url": url,
            **{key: url + template for key, template in _REPOSITORY_URLS.items()},
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
            "pushed_at": CREATED_AT,
            "git_url": f"git://{host}/{full_name}.git",
            "ssh_url": f"git@{host}:{full_name}.git",
            "clone_url": f"{html}.git",
            "svn_url": html,
            "homepage": None,
            "size": 48,
            "stargazers_count": 3,
            "watchers_count": 3,
            "language": "Python",
            "has_issues": True,
            "has_projects": True,
            "has_downloads": True,
            "has_wiki": False,
            "has_pages": False,
            "has_discussions": False,
            "forks_count": 0,
            "mirror_url": None,
            "archived": False,
            "disabled": False,
            "open_issues_count": 1,
            "license": {
                "key": "mit",
                "name": "MIT License",
                "spdx_id": "MIT",
                "url": f"{self.api}/licenses/mit",
                "node_id": "MDc6TGljZW5zZTEz",
            },
            "allow_forking": True,
            "is_template": False,
            "web_commit_signoff_required": False,
            "topics": [],
            "visibility": "private",
            "forks": 0,
            "open_issues": 1,
            "watchers": 3,
            "default_branch": sample.BASE_REF,
            "allow_squash_merge": True,
            "allow_merge_commit": True,
            "allow_rebase_merge": True,
            "allow_auto_merge": False,
            "delete_branch_on_merge": True,
            "allow_update_branch": False,
            "use_squash_pr_title_as_default": False,
            "squash_merge_commit_message": "COMMIT_MESSAGES",
            "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
            "merge_commit_message": "PR_TITLE",
            "merge_commit_title": "MERGE_MESSAGE",
            "custom_properties": {},
        }

    def full_repository(self, full_name: str) -> Body:
        """What "get a repository" answers."""
        body = self.repository(full_name)
        return body | {
            "permissions": {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True},
            "organization": body["owner"],
            "network_count": 0,
            "subscribers_count": 2,
        }

    def pull_request(self, pull: PullRequest, files: Sequence[ChangedFile], commits: int) -> Body:
        """What "get a pull request" answers; also the heart of a delivery."""
        full_name = pull.full_name
        url = f"{self.api}/repos/{full_name}/pulls/{pull.number}"
        issue_url = f"{self.api}/repos/{full_name}/issues/{pull.number}"
        html_url = f"{self.html}/{full_name}/pull/{pull.number}"
        links = {
            "self": url,
            "html": html_url,
            "issue": issue_url,
            "comments": f"{issue_url}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self.api}/repos/{full_name}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self.api}/repos/{full_name}/statuses/{pull.head_sha}",
        }
        number = PULL_REQUEST_ID + pull.number
        return {
            "url": url,
            "id": number,
            "node_id": node_id("PullRequest", number),
            "html_url": html_url,
            "diff_url": f"{html_url}.diff",
            "patch_url": f"{html_url}.patch",
            "issue_url": issue_url,
            "number": pull.number,
            "state": "closed" if pull.is_closed else "open",
            "locked": False,
            "title": pull.title,
            "user": self.user(pull.sender),
            "body": sample.BODY,
            "created_at": CREATED_AT,
            "updated_at": pull.updated_at,
            "closed_at": pull.updated_at if pull.is_closed else None,
            "merged_at": None,
            # The SHA of the trial merge; GitHub has none either until it has tried.
            "merge_commit_sha": None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [],
            "milestone": None,
            "draft": pull.is_draft,
            **{f"{kind}_url": links[kind] for kind in _LINKS_WITH_URL},
            "head": self._end(pull, pull.head_ref, pull.head_sha) | self._fork(pull),
            "base": self._end(pull, pull.base_ref, pull.base_sha),
            "_links": {name: {"href": href} for name, href in links.items()},
            "author_association": "MEMBER",
            "auto_merge": None,
            "active_lock_reason": None,
            "merged": False,
            "mergeable": True,
            "rebaseable": True,
            "mergeable_state": "clean",
            "merged_by": None,
            "comments": 0,
            "review_comments": 0,
            "maintainer_can_modify": False,
            "commits": commits,
            "additions": sum(file.additions for file in files),
            "deletions": sum(file.deletions for file in files),
            "changed_files": len(files),
        }

    def diff_entry(self, full_name: str, sha: str, file: ChangedFile) -> Body:
        """One file of a pull request or of a commit."""
        path = quote(file.filename)
        body: Body = {
            "sha": file.sha,
            "filename": file.filename,
            "status": file.status,
            "additions": file.additions,
            "deletions": file.deletions,
            "changes": file.additions + file.deletions,
            "blob_url": f"{self.html}/{full_name}/blob/{sha}/{path}",
            "raw_url": f"{self.html}/{full_name}/raw/{sha}/{path}",
            "contents_url": f"{self.api}/repos/{full_name}/contents/{path}?ref={sha}",
        }
        if file.patch is not None:
            body["patch"] = file.patch
        if file.previous_filename is not None:
            body["previous_filename"] = file.previous_filename
        return body

    def commit(self, full_name: str, commit: Commit, files: Sequence[ChangedFile]) -> Body:
        """What "get a commit" answers."""
        url = f"{self.api}/repos/{full_name}/commits"
        git_url = f"{self.api}/repos/{full_name}/git"
        html = f"{self.html}/{full_name}/commit"
        who = {"name": commit.author, "email": commit.email, "date": timestamp(commit.time)}
        additions, deletions = sum(file.additions for file in files), sum(file.deletions for file in files)
        return {
            "sha": commit.sha,
            "node_id": node_id("Commit", REPOSITORY_ID) + commit.sha[:8],
            "commit": {
                "author": who,
                "committer": who,
                "message": commit.message.removesuffix("\n"),
                "tree": {"sha": commit.tree, "url": f"{git_url}/trees/{commit.tree}"},
                "url": f"{git_url}/commits/{commit.sha}",
                "comment_count": 0,
                "verification": {
                    "verified": False,
                    "reason": "unsigned",
                    "signature": None,
                    "payload": None,
                    "verified_at": None,
                },
            },
            "url": f"{url}/{commit.sha}",
            "html_url": f"{html}/{commit.sha}",
            "comments_url": f"{url}/{commit.sha}/comments",
            "author": self.user(sample.SENDER),
            "committer": self.user(sample.SENDER),
            "parents": [{"sha": sha, "url": f"{url}/{sha}", "html_url": f"{html}/{sha}"} for sha in commit.parents],
            "stats": {"total": additions + deletions, "additions": additions, "deletions": deletions},
            "files": [self.diff_entry(full_name, commit.sha, file) for file in files],
        }

    def installation(self, full_name: str, app_id: int, permissions: dict[str, str]) -> Body:
        """The App's installation on the repository's owner."""
        owner = full_name.partition("/")[0]
        number = sample.INSTALLATION_ID
        return {
            "id": number,
            "app_id": app_id,
            "app_slug": "pullback",
            "target_id": OWNER_ID,
            "target_type": "Organization",
            "account": self.user(owner, "Organization"),
            "access_tokens_url": f"{self.api}/app/installations/{number}/access_tokens",
            "repositories_url": f"{self.api}/installation/repositories",
            "html_url": f"{self.html}/organizations/{owner}/settings/installations/{number}",
            "repository_selection": "selected",
            "permissions": permissions,
            "events": ["pull_request"],
            "single_file_name": None,
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
            "suspended_at": None,
            "suspended_by": None,
        }

    def app(self, app_id: int, permissions: dict[str, str]) -> Body:
        """The App itself."""
        return {
            "id": app_id,
            "slug": "pullback",
            "node_id": node_id("App", app_id),
            "owner": self.user("octo-org", "Organization"),
            "name": "Pullback",
            "description": "Runs work for pull requests",
            "external_url": "https://pullback.example",
            "html_url": f"{self.html}/apps/pullback",
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
            "permissions": permissions,
            "events": ["check_run", "check_suite", "pull_request"],
        }

    def check_run(self, full_name: str, run: CheckRun, app_id: int, permissions: dict[str, str]) -> Body:
        """A check run. GitHub names the pull requests of the repository's own branches; here only its events do."""
        url = f"{self.api}/repos/{full_name}/check-runs/{run.id}"
        return {
            "id": run.id,
            "node_id": node_id("CheckRun", run.id),
            "head_sha": run.sha,
            "name": run.name,
            "external_id": run.external_id,
            "url": url,
            "html_url": f"{self.html}/{full_name}/runs/{run.id}",
            "details_url": run.details_url or f"{self.html}/{full_name}/runs/{run.id}",
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": run.started_at,
            "completed_at": run.completed_at,
            "output": {
                "title": run.title,
                "summary": run.summary,
                "text": run.text,
                "annotations_count": len(run.annotations),
                "annotations_url": f"{url}/annotations",
            },
            "check_suite": {"id": suite_id(run.sha)},
            "app": self.app(app_id, permissions),
            "pull_requests": [],
        }

    def annotation(self, full_name: str, sha: str, annotation: Body) -> Body:
        """One annotation of a check run."""
        path = quote(annotation["path"])
        return {
            "start_column": None,
            "end_column": None,
            "title": None,
            "raw_details": None,
            **annotation,
            "blob_href": f"{self.html}/{full_name}/blob/{sha}/{path}",
        }

    def content_file(self, full_name: str, ref: str, path: str, content: bytes) -> Body:
        """A file; one of more than 1 MB without its content: docs.github.com/rest/repos/contents."""
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        is_whole = len(content) <= CONTENT_MAX
        place = quote(path)
        url = f"{self.api}/repos/{full_name}/contents/{place}?ref={quote(ref)}"
        git_url = f"{self.api}/repos/{full_name}/git/blobs/{sha}"
        html_url = f"{self.html}/{full_name}/blob/{quote(ref)}/{place}"
        return {
            "type": "file",
            "name": path.rpartition("/")[2],
            "path": path,
            "sha": sha,
            "size": len(content),
            "encoding": "base64" if is_whole else "none",
            "content": base64.encodebytes(content).decode() if is_whole else "",
            "url": url,
            "git_url": git_url,
            "html_url": html_url,
            "download_url": f"{self.html}/{full_name}/raw/{quote(ref)}/{place}",
            "_links": {"self": url, "git": git_url, "html": html_url},
        }

    def permission(self, login: str, permission: str) -> Body:
        """What somebody may do with the repository."""
        can = {
            "admin": permission == "admin",
            "maintain": permission == "admin",
            "push": permission in {"admin", "write"},
            "triage": permission in {"admin", "write"},
            "pull": permission != "none",
        }
        user = self.user(login) | {"permissions": can, "role_name": permission}
        return {"permission": permission, "role_name": permission, "user": user}

    def status(self, full_name: str, status: Status) -> Body:
        """One commit status, with who reported it."""
        creator = self.user("pullback[bot]", "Bot")
        return self.simple_status(full_name, status) | {"creator": creator}

    def simple_status(self, full_name: str, status: Status) -> Body:
        """One commit status as the combined status lists it."""
        return {
            "url": f"{self.api}/repos/{full_name}/statuses/{status.sha}",
            "avatar_url": "https://avatars.githubusercontent.com/in/1?v=4",
            "id": status.id,
            "node_id": node_id("StatusContext", status.id),
            "state": status.state,
            "description": status.description,
            "target_url": status.target_url,
            "context": status.context,
            "created_at": status.created_at,
            "updated_at": status.created_at,
        }

    def combined_status(self, full_name: str, sha: str, latest: Sequence[Status]) -> Body:
        """What "get the combined status" answers: ``latest`` is the newest status of each context."""
        states = {status.state for status in latest}
        if states & {"error", "failure"}:
            state = "failure"
        elif states == {"success"}:
            state = "success"
        else:
            state = "pending"
        url = f"{self.api}/repos/{full_name}/commits/{sha}"
        return {
            "state": state,
            "statuses": [self.simple_status(full_name, status) for status in latest],
            "sha": sha,
            "total_count": len(latest),
            "repository": self.repository(full_name),
            "commit_url": url,
            "url": f"{url}/status",
        }

    def pull_request_of_run(self, pull: PullRequest) -> Body:
        """A pull request as events of check runs name it."""
        body = {
            "id": PULL_REQUEST_ID + pull.number,
            "number": pull.number,
            "url": f"{self.api}/repos/{pull.full_name}/pulls/{pull.number}",
        }
        repository = {
            "id": REPOSITORY_ID,
            "url": f"{self.api}/repos/{pull.full_name}",
            "name": pull.repository,
        }
        return body | {
            "head": {"ref": pull.head_ref, "sha": pull.head_sha, "repo": repository},
            "base": {"ref": pull.base_ref, "sha": pull.base_sha, "repo": repository},
        }

    def _fork(self, pull: PullRequest) -> Body:
        """What is different in the head of a pull request from a fork."""
        if pull.fork is None:
            return {}
        owner = pull.fork.partition("/")[0] or pull.sender
        user = self.user(owner)
        head: Body = {"label": f"{owner}:{pull.head_ref}", "user": user, "repo": None}
        if pull.fork != GONE:
            theirs = {"id": FORK_ID, "node_id": node_id("Repository", FORK_ID), "owner": user, "fork": True}
            head["repo"] = self.repository(pull.fork) | theirs
        return head

    def _end(self, pull: PullRequest, ref: str, sha: str) -> Body:
        return {
            "label": f"{pull.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.user(pull.owner, "Organization"),
            "repo": self.repository(pull.full_name),
        }


# Links that a pull request also has as `<name>_url`.
_LINKS_WITH_URL = ("commits", "review_comments", "review_comment", "comments", "statuses")
