"""Sample deliveries: GitHub's payloads of ``events/``, made out to a pull request, signed and sent.

The files hold whole payloads (docs.github.com, "Webhook events and payloads"), which the tests validate against
GitHub's published schema. ``build`` is not an action of GitHub's: it stands for a trigger of a platform team's own,
which sends the same payload.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any

import urllib3

from local.github.model import GONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.github.model import PullRequest

USER_AGENT = "GitHub-Hookshot/044aadd"
HOOK_ID = 471884113
INSTALLATION_TARGET_ID = 861204877
"""The repository whose hook it is: the id that the sample payloads give theirs."""
FORK_OWNER_ID = 583232
TIMEOUT_SECONDS = 10.0
"""GitHub waits so long for an answer: docs.github.com, "Best practices for using webhooks"."""


def render(sample: bytes, pull_request: PullRequest) -> bytes:
    """A payload made out to a pull request, as GitHub sends it: compact JSON in UTF-8.

    Names, SHAs and numbers are replaced wherever they occur, addresses included. What a push was before and when the
    pull request was changed last is the pull request's own, where it knows.

    Raises:
        ValueError: the sample holds no payload.
    """
    payload = json.loads(sample)
    replaced = _replace(payload, _Replacements.between(payload, pull_request))
    if "installation" in replaced:
        replaced["installation"]["id"] = pull_request.installation_id
    if "pull_request" in replaced:
        replaced["number"] = replaced["pull_request"]["number"] = pull_request.number
        # Set, not searched for: a title or a branch may be a word that occurs elsewhere too.
        replaced["pull_request"]["title"] = pull_request.title
        for end, ref in (("head", pull_request.head_ref), ("base", pull_request.base_ref)):
            replaced["pull_request"][end] |= {"ref": ref, "label": f"{pull_request.owner}:{ref}"}
        if pull_request.updated_at is not None:
            replaced["pull_request"]["updated_at"] = pull_request.updated_at
        replaced["pull_request"]["draft"] = pull_request.is_draft
        if pull_request.fork is not None:
            replaced["pull_request"]["head"] |= _fork(replaced["pull_request"]["head"], pull_request)
    if "before" in replaced:
        replaced["after"] = pull_request.head_sha
        if pull_request.before_sha is not None:
            replaced["before"] = pull_request.before_sha
    return _encoded(replaced)


def of_action(payload: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The payload of another action of ``pull_request``: what a push was before, GitHub tells of pushes alone."""
    return {name: value for name, value in payload.items() if name not in ("before", "after")} | {"action": action}


def edited(body: bytes, before: PullRequest) -> bytes:
    """The payload of an edit that changed the base.

    Args:
        body: a payload that is made out to the pull request as it is now.
        before: the pull request as it was.
    """
    changes = {"base": {"ref": {"from": before.base_ref}, "sha": {"from": before.base_sha}}}
    return _encoded(of_action(json.loads(body), "edited") | {"changes": changes})


def _fork(head: Mapping[str, Any], pull_request: PullRequest) -> dict[str, Any]:
    """What is different in the head of a pull request from a fork."""
    owner, _, name = (pull_request.fork or "").partition("/")
    user = pull_request.sender if pull_request.fork == GONE else owner
    words = {pull_request.owner: user, pull_request.repository: name, pull_request.full_name: pull_request.fork or ""}
    theirs: dict[str, Any] = _replace(dict(head), _Replacements(words, None))
    theirs["user"] |= {"id": FORK_OWNER_ID, "type": "User"}
    if pull_request.fork == GONE:
        return theirs | {"repo": None}
    theirs["repo"] |= {"id": INSTALLATION_TARGET_ID + 1, "fork": True, "owner": theirs["user"]}
    return theirs


def _encoded(payload: Mapping[str, Any]) -> bytes:
    """As GitHub sends it: compact JSON in UTF-8."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def sign(secret: str | bytes, body: bytes) -> str:
    """The value of X-Hub-Signature-256."""
    key = secret.encode() if isinstance(secret, str) else secret
    return f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


def headers(
    event: str, delivery_id: str, signature: str | None, *, content_type: str = "application/json"
) -> dict[str, str]:
    """The headers of a delivery; without a signature as from a hook without a secret.

    The legacy X-Hub-Signature (SHA-1) is left out, so that nothing comes to rely on it.
    """
    values = {
        "Accept": "*/*",
        "Content-Type": content_type,
        "User-Agent": USER_AGENT,
        "X-GitHub-Delivery": delivery_id,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(HOOK_ID),
        "X-GitHub-Hook-Installation-Target-ID": str(INSTALLATION_TARGET_ID),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if signature is not None:
        values["X-Hub-Signature-256"] = signature
    return values


def deliver(url: str, secret: str, body: bytes, delivery_id: str) -> tuple[int, Any, float]:
    """Signs and sends a ``pull_request`` delivery; returns and raises what ``send`` does."""
    return send(url, body, headers("pull_request", delivery_id, sign(secret, body)))


def send(url: str, body: bytes, headers: Mapping[str, str], timeout: float = TIMEOUT_SECONDS) -> tuple[int, Any, float]:
    """POST a delivery once, as GitHub does: no retry, no redirect.

    Returns:
        The status, the answer's JSON (None when it is not JSON), and the milliseconds until the whole answer.

    Raises:
        urllib3.exceptions.HTTPError: when connecting, or waiting for a byte of the answer, takes over ``timeout`` s.
    """
    with urllib3.PoolManager(retries=False) as http:
        start = time.perf_counter()
        response = http.request("POST", url, body=body, headers=dict(headers), timeout=timeout, redirect=False)
        elapsed_ms = (time.perf_counter() - start) * 1000
    try:
        answer = json.loads(response.data)
    except ValueError:
        answer = None
    return response.status, answer, elapsed_ms


class _Replacements:
    """Old words and what stands for them, replaced in one pass, so that no replacement is replaced again."""

    def __init__(self, words: Mapping[str, str], number: tuple[int, int] | None) -> None:
        self._words = words
        longest_first = sorted(map(re.escape, words), key=len, reverse=True)
        # A word of its own: neither "hello" of "hello-world" nor "octocat" of "octocat2".
        parts = [rf"(?<![\w-])(?P<word>{'|'.join(longest_first)})(?![\w-])"]
        if number:
            parts.append(rf"(?P<path>/(?:pulls|pull|issues)/){number[0]}(?!\w)")
            self._number = str(number[1])
        self._pattern = re.compile("|".join(parts))

    @classmethod
    def between(cls, payload: Mapping[str, Any], new: PullRequest) -> _Replacements:
        old = payload["repository"]
        words = {
            old["full_name"]: new.full_name,
            old["owner"]["login"]: new.owner,
            old["name"]: new.repository,
            payload["sender"]["login"]: new.sender,
        }
        number = None
        if pull_request := payload.get("pull_request"):
            words |= {pull_request["head"]["sha"]: new.head_sha, pull_request["base"]["sha"]: new.base_sha}
            number = (pull_request["number"], new.number)
        return cls(words, number)

    def apply(self, text: str) -> str:
        return self._pattern.sub(self._new, text)

    def _new(self, match: re.Match[str]) -> str:
        word = match["word"]
        return self._words[word] if word else f"{match['path']}{self._number}"


def _replace(value: Any, replacements: _Replacements) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, replacements) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, replacements) for item in value]
    return replacements.apply(value) if isinstance(value, str) else value
