"""Pages of a list, and the Link header that leads from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PER_PAGE = 30
PER_PAGE_MAX = 100

T = TypeVar("T")


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


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) else default
