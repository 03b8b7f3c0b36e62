"""A webhook's deliveries at GitHub: what came of them, and asking for one again.

PyGithub does the talking, under the bounds of ``pullrequest.github_access``. It can list a repository hook's
deliveries, but not redeliver them, and knows nothing of an App's; so its requester is used, and answers are read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from github import Auth
from github.GithubException import GithubException

from pullrequest.errors import CredentialInvalid, GitHubRefused
from pullrequest.github_access import (
    PAGE,
    TIMEOUT_SECONDS,
    Access,
    Calls,
    Installations,
    authentication,
    sign_in,
    sign_in_for,
    template_of,
)
from shared.job import DELIVERY_ID_PATTERN, FULL_NAME_PATTERN

if TYPE_CHECKING:
    from github import Github

    from pullrequest.github_access import ReadsCredential
    from shared.telemetry import Telemetry

APP = "app"
"""The name of a GitHub App's hook, of which there is only one."""

ORGANISATION = "orgs/"
"""How the name of an organisation's hook begins. Its own pages are at github.com/orgs/, so GitHub keeps the name from
accounts (it publishes no list of such names; github.com/Mottie/github-reserved-names, collected from outside, has it).
Were there an account of that name, its repositories' hooks would be answered 404, and the alarm `sweep-failed` tell."""

_ORGANISATION_NAME = r"orgs/[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})"

SECONDS_BETWEEN_WRITES = 1.0
"""GitHub asks for a pause of one second between writes: docs.github.com, "Best practices for using the REST API"."""

FINAL_ANSWERS = frozenset({400, 409, 413, 415})
"""What the webhook answers to a delivery that it will never take: README.md lists its answers."""

# GitHub's answers to a page's cursor that it does not know, or not any longer.
_CURSOR_REFUSED = {400, 404, 422}


class CursorLost(GitHubRefused):
    """GitHub does not know the page's cursor any longer. The first page is there."""


@dataclass(frozen=True)
class Hook:
    """A webhook.

    Args:
        name: ``owner/repo:hook_id`` of a repository's webhook, ``orgs/org:hook_id`` of an organisation's, or ``app``.
    """

    name: str

    @property
    def owner_path(self) -> str | None:
        """Whose it is, below the API's root: ``/repos/{owner}/{repo}`` or ``/orgs/{org}``; None for an App's hook."""
        if self.name == APP:
            return None
        owner = self.name.rpartition(":")[0]
        return f"/{owner}" if owner.startswith(ORGANISATION) else f"/repos/{owner}"

    @property
    def path(self) -> str:
        """Where its deliveries are, below the API's root."""
        if self.owner_path is None:
            return "/app/hook/deliveries"
        return f"{self.owner_path}/hooks/{self.name.rpartition(':')[2]}/deliveries"

    @property
    def template(self) -> str:
        """``path`` as GitHub's documentation writes it, for messages."""
        if self.owner_path is None:
            return self.path
        return f"{template_of(self.owner_path)}/hooks/{{hook_id}}/deliveries"


def parse_hooks(text: str) -> tuple[Hook, ...]:
    """The hooks of a list with commas and nothing else between, each once.

    Raises:
        ValueError: an entry is none of ``owner/repo:hook_id``, ``orgs/org:hook_id`` and ``app``; the message tells
            which by its number only.
    """
    names = list(dict.fromkeys(text.split(",")))
    for number, name in enumerate(names, start=1):
        owner, _, hook_id = name.rpartition(":")
        pattern = _ORGANISATION_NAME if owner.startswith(ORGANISATION) else FULL_NAME_PATTERN
        if name != APP and not (re.fullmatch(pattern, owner) and re.fullmatch("[1-9][0-9]*", hook_id)):
            raise ValueError(f"entry {number} is none of owner/repo:hook_id, orgs/org:hook_id and {APP}")
    return tuple(Hook(name) for name in names)


@dataclass(frozen=True)
class Entry:
    """One attempt to deliver an event. Attempts for the same event have the same GUID."""

    id: int
    guid: str
    delivered_at: int
    """Seconds since the epoch, rounded down."""
    redelivery: bool
    status_code: int
    """The answer's; 0 when there was none."""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def worth_repeating(self) -> bool:
        """Whether it failed in a way that another attempt may cure.

        The webhook's final answers are left alone: they would be the same again. Everything else may pass: no answer
        (GitHub then shows 502, 504 or nothing), 5xx, 429, but also 403, which is a firewall's in front of the webhook,
        and 401, while a secret is being put right.
        """
        return not self.succeeded and self.status_code not in FINAL_ANSWERS


@dataclass(frozen=True)
class Page:
    """Some deliveries, newest first, and the cursor of the page behind them (None: there is none)."""

    entries: tuple[Entry, ...]
    next: str | None
    odd: int = 0
    """Entries that are left out: they lack what tells which event they are about, or when they were delivered."""


class HookDeliveries:
    """A hook's deliveries. Make it with ``open_hook``.

    Both methods raise:
        GitHubUnavailable: no answer, a broken one, or 5xx.
        GitHubRateLimited: a rate limit. The request had no effect.
        GitHubRefused: any other 4xx, or a redirect that is not followed.
    """

    def __init__(self, hook: Hook, access: Access, calls: Calls) -> None:
        self._hook = hook
        self._calls = calls
        self._access = access

    def page(self, cursor: str | None) -> Page:
        """The page with this cursor, or the newest one.

        Raises:
            CursorLost: see there.
        """
        return self._access.renewing(lambda: self._page(cursor))

    def redeliver(self, entry: Entry) -> None:
        """Asks GitHub to deliver the entry's event again. GitHub does so a little later, as a new entry."""
        self._access.renewing(lambda: self._redeliver(entry))

    def _page(self, cursor: str | None) -> Page:
        call = f"GET {self._hook.template}"
        with self._calls.call(call):
            try:
                headers, body = self._access.github.requester.requestJsonAndCheck(
                    "GET",
                    self._hook.path,
                    parameters={"per_page": str(PAGE)} | ({"cursor": cursor} if cursor else {}),
                )
            except GithubException as error:
                if cursor and error.status in _CURSOR_REFUSED:
                    raise CursorLost(f"{call}: {error.status}") from None
                raise
            entries = [_entry(one) for one in _list(body)]
            known = tuple(entry for entry in entries if entry is not None)
            return Page(known, _next_cursor(headers.get("link", "")), odd=len(entries) - len(known))

    def _redeliver(self, entry: Entry) -> None:
        with self._calls.call(f"POST {self._hook.template}/{{delivery_id}}/attempts"):
            self._access.github.requester.requestJsonAndCheck("POST", f"{self._hook.path}/{entry.id}/attempts")


def open_hook(
    hook: Hook,
    credential: ReadsCredential,
    api_url: str,
    telemetry: Telemetry,
    *,
    timeout: int = TIMEOUT_SECONDS,
    seconds_between_writes: float | None = SECONDS_BETWEEN_WRITES,
) -> HookDeliveries:
    """The deliveries of a hook.

    Args:
        hook: the hook.
        credential: reads a token that may write the webhooks of the repository or organisation; or a GitHub App's id
            and key, which signs in as itself for its own hook, and with a token of its installation for any other.
        api_url: GitHub's API.
        telemetry: counts the calls.
        timeout: seconds to wait for a connection, or for bytes of an answer.
        seconds_between_writes: pause between two redeliveries.

    Raises:
        CredentialUnavailable: it could not be read.
        CredentialInvalid: the credential has neither form, or is none of an App and the hook is an App's.
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: GitHub did not give the installation's token.
    """
    calls = Calls(telemetry)
    options: dict[str, Any] = {"timeout": timeout, "seconds_between_writes": seconds_between_writes}

    def signed_in(fresh: bool) -> Github:  # noqa: FBT001 - its one parameter
        auth = authentication(credential.read(fresh=fresh))
        if isinstance(auth, Auth.AppAuth) and hook.owner_path is not None:
            return sign_in_for(hook.owner_path, auth, Installations(), None, api_url, calls, **options)
        if hook.owner_path is None and not isinstance(auth, Auth.AppAuth):
            raise CredentialInvalid(
                "an App's hook needs the App's id and private key; the GitHub credential is a token"
            )
        return sign_in(auth, api_url, calls, **options)

    return HookDeliveries(hook, Access(signed_in), calls)


def _entry(body: Any) -> Entry | None:
    """An entry of GitHub's list; None for one that is not as described: it is no reason to leave out the others."""
    try:
        guid = body["guid"]
        if not re.fullmatch(DELIVERY_ID_PATTERN, guid):
            return None
        delivered_at = datetime.fromisoformat(body["delivered_at"])
        if delivered_at.tzinfo is None:
            delivered_at = delivered_at.replace(tzinfo=UTC)
        return Entry(
            id=_natural(body["id"]),
            guid=guid,
            delivered_at=int(delivered_at.timestamp()),
            redelivery=body.get("redelivery") is True,
            # Described as always there; a delivery that was throttled has nothing to tell of.
            status_code=0 if (status := body.get("status_code")) is None else _natural(status),
        )
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return None


def _list(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise TypeError
    return body


def _natural(value: Any) -> int:
    # True and False are integers in Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


def _next_cursor(link: str) -> str | None:
    for one in requests.utils.parse_header_links(link):
        if one.get("rel") == "next":
            return parse_qs(urlsplit(one["url"]).query)["cursor"][0]
    return None
