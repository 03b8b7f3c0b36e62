"""Pages of a list, by number or by cursor, and the Link header that leads from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PER_PAGE = 30
PER_PAGE_MAX = 100

CURSOR_PREFIX = "v1_"

T = TypeVar("T")


class Numbered(Protocol):
    """What a cursor can point at."""

    @property
    def id(self) -> int: ...


N = TypeVar("N", bound=Numbered)


class InvalidCursorError(ValueError):
    """The cursor is none that a Link header gave, or what it points at is gone."""


def page_of(items: Sequence[T], url: str, query: Mapping[str, str]) -> tuple[list[T], dict[str, str]]:
    """The page that the query's ``page`` and ``per_page`` ask for, and its headers.

    As on GitHub, a number that makes no sense counts as its default, more than a hundred a page are a hundred, and a
    list of one page has no Link header.
    """
    per_page = min(_number(query.get("per_page"), PER_PAGE), PER_PAGE_MAX)
    page = _number(query.get("page"), 1)
    last = max(1, -(-len(items) // per_page))
    links: dict[str, int] = {}
    if page > 1:
        links["prev"] = min(page - 1, last)
    if page < last:
        links |= {"next": page + 1, "last": last}
    if page > 1:
        links["first"] = 1
    sizes = {"per_page": str(per_page)} if "per_page" in query else {}
    link = ", ".join(f'<{url}?{urlencode(sizes | {"page": str(to)})}>; rel="{rel}"' for rel, to in links.items())
    return list(items[(page - 1) * per_page : page * per_page]), {"Link": link} if link else {}


def cursor_page_of(items: Sequence[N], url: str, query: Mapping[str, str]) -> tuple[list[N], dict[str, str]]:
    """The page that begins at the item that the query's ``cursor`` names, or the first one, and its headers.

    Raises:
        InvalidCursorError: see there.
    """
    per_page = min(_number(query.get("per_page"), PER_PAGE), PER_PAGE_MAX)
    start = 0
    if cursor := query.get("cursor"):
        positions = {f"{CURSOR_PREFIX}{item.id}": position for position, item in enumerate(items)}
        if cursor not in positions:
            raise InvalidCursorError(cursor)
        start = positions[cursor]
    end = start + per_page
    if end >= len(items):
        return list(items[start:]), {}
    kept = {name: query[name] for name in ("per_page", "status") if name in query}
    following = urlencode(kept | {"cursor": f"{CURSOR_PREFIX}{items[end].id}"})
    return list(items[start:end]), {"Link": f'<{url}?{following}>; rel="next"'}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) else default
