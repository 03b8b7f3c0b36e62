"""One connection to GitHub's API: what is redirected is followed here, whatever PyGithub does by itself.

PyGithub follows 301 without the query, so that a list comes back with another page size, and takes any other redirect
for success, of writes as well: a status that GitHub answered with 307 was never set. GitHub redirects when a repository
was renamed or moved: docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api, "Follow redirects".
"""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester, RequestsResponse

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REDIRECTS = 3

FOLLOW_WITHIN_SECONDS = 5.0
"""A redirect that takes longer to come is not followed: one write, with all its redirects, must be over within
``pullrequest.claim.WRITE_SECONDS``."""

_FOLLOWED = frozenset({301, 302, 307, 308})
"""Followed with the same method and body, as GitHub's documentation asks for. 303 would turn a write into a read."""

# The one call whose redirect is the answer: a link to the host of archives.
_LINKS = re.compile(r"/(tarball|zipball)(/|$)")

on_redirect: ContextVar[Callable[[int], None] | None] = ContextVar("on_redirect", default=None)
"""Told of each redirect that is followed, with its status."""


on_answer: ContextVar[Callable[[int], None] | None] = ContextVar("on_answer", default=None)
"""Told of the status of each answer."""


class Redirected(Exception):
    """A redirect that is not followed. The text says why, in our own words."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


def answered(connection: Any) -> RequestsResponse:
    """Sends the connection's request, and again where GitHub redirects it.

    Args:
        connection: PyGithub's; ``request`` was called.

    Raises:
        Redirected: the answer is a redirect that is not followed.
        requests.RequestException: no answer.
    """
    began = time.monotonic()
    url = f"{connection.protocol}://{connection.host}:{connection.port}{connection.url}"
    for _ in range(MAX_REDIRECTS + 1):
        response = connection.session.request(
            connection.verb,
            url,
            headers=connection.headers,
            data=connection.input,
            timeout=connection.timeout,
            verify=connection.verify,
            allow_redirects=False,
        )
        status = response.status_code
        if answered_with := on_answer.get():
            answered_with(status)
        location = response.headers.get("location", "")
        target = urljoin(url, location)
        if not 300 <= status < 400 or (status == 302 and _is_link(url, target)):
            return RequestsResponse(response)
        response.close()
        # Absolute, as GitHub's are: what is relative to a path of the API is a mistake.
        if status not in _FOLLOWED or not location.startswith(("/", "http:", "https:")):
            raise Redirected("redirected in a way that is not followed", status)
        if _origin(target) != _origin(url):
            raise Redirected("redirected elsewhere", status)
        if time.monotonic() - began > FOLLOW_WITHIN_SECONDS:
            raise requests.Timeout
        if told := on_redirect.get():
            told(status)
        url = target
    raise Redirected("redirected too often", status)


def _is_link(url: str, target: str) -> bool:
    """Whether the redirect is the answer to a question for an archive's link, and not to ask elsewhere for the link."""
    return bool(_LINKS.search(urlsplit(url).path)) and not (
        _origin(target) == _origin(url) and _LINKS.search(urlsplit(target).path)
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


class _Http(HTTPRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return answered(self)


class _Https(HTTPSRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return answered(self)


def install() -> None:
    """Makes PyGithub use these connections, in the whole process."""
    Requester.injectConnectionClasses(_Http, _Https)
    # Injecting turns keep-alive off, which would be a TLS handshake for each call.
    Requester._Requester__persist = True  # type: ignore[attr-defined] # noqa: SLF001
