"""GitHub's signature of a delivery: HMAC-SHA256 over the raw body.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = b"sha256="


def is_valid(body: bytes, header: str | None, secrets: Iterable[bytes]) -> bool:
    """Whether the header is the body's signature under one of the secrets.

    Args:
        body: exactly the bytes that GitHub sent; re-serialised JSON has another signature.
        header: the value of X-Hub-Signature-256, or None when there is none.
        secrets: all secrets that are valid now. Each is tried, whatever the one before gave, so that the time taken
            does not tell which one is in use.
    """
    # Bytes, because compare_digest refuses text that is not ASCII, and the header is the sender's to choose.
    given = (header or "").encode("utf-8", "surrogatepass")
    matches = [
        hmac.compare_digest(_PREFIX + hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), given)
        for secret in secrets
        if secret
    ]
    return any(matches)
