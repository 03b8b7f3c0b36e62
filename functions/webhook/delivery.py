"""One webhook call: its headers and its raw body."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.job import DELIVERY_ID_PATTERN

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

EVENT_NAME = re.compile(r"[a-z0-9_]{1,64}")


class Rejected(Exception):
    """The delivery cannot be accepted.

    Args:
        status: the HTTP status, 4xx.
        result: the stable word of the answer.
        message: what to do about it; quotes nothing of the delivery.
        field: the header or body field concerned.
    """

    def __init__(self, status: int, result: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.result = result
        self.message = message
        self.field = field


@dataclass(frozen=True)
class Delivery:
    """A delivery as it arrived; nothing in it is verified yet."""

    id: str | None
    event: str | None
    signature: str | None
    body: bytes
    app: str | None = None
    """Id of the App whose delivery it is; None where it is a repository's or an organisation's hook's."""

    @classmethod
    def read(cls, request: APIGatewayProxyEvent, *, max_body_bytes: int) -> Delivery:
        """Takes a delivery out of API Gateway's event.

        Raises:
            Rejected: the body is too large, is not declared as JSON, or is not what its encoding says.
        """
        headers = request.headers
        body = _body(request, max_body_bytes)
        media_type = (headers.get("content-type") or "").split(";")[0].strip().lower()
        if media_type != "application/json":
            raise Rejected(
                415,
                "unsupported",
                "choose the content type application/json in the webhook's settings; GitHub's API defaults to form",
                "content-type",
            )
        return cls(
            id=headers.get("x-github-delivery"),
            event=headers.get("x-github-event"),
            signature=headers.get("x-hub-signature-256"),
            body=body,
            app=headers.get("x-github-hook-installation-target-id")
            if headers.get("x-github-hook-installation-target-type") == "integration"
            else None,
        )

    def identity(self) -> tuple[str, str]:
        """Delivery id and event.

        Raises:
            Rejected: a header is missing or malformed.
        """
        if not self.event or not EVENT_NAME.fullmatch(self.event):
            raise Rejected(400, "invalid", "the header is missing or is not an event's name", "x-github-event")
        if not self.id or not re.fullmatch(DELIVERY_ID_PATTERN, self.id):
            raise Rejected(400, "invalid", "the header is missing or is not a delivery id", "x-github-delivery")
        return self.id, self.event


def require_api_gateway(request: APIGatewayProxyEvent) -> None:
    """Raises Rejected unless headers and body have the types that API Gateway gives them.

    Whoever may invoke the function may send others.
    """
    headers, body = request.get("headers"), request.get("body")
    if (
        not isinstance(body, str | None)
        or not isinstance(headers, dict | None)
        or not all(isinstance(value, str) for value in (headers or {}).values())
    ):
        raise Rejected(400, "invalid", "the event is not API Gateway's")


def _body(request: APIGatewayProxyEvent, max_body_bytes: int) -> bytes:
    text, is_base64 = request.body or "", bool(request.is_base64_encoded)
    # Before any decoding: four characters of base64 hold three bytes, and no character is less than one byte.
    too_long = len(text) * 3 // 4 - 2 > max_body_bytes if is_base64 else len(text) > max_body_bytes
    body = b"" if too_long else _decoded(text, is_base64=is_base64)
    if too_long or len(body) > max_body_bytes:
        raise Rejected(413, "too_large", f"the body is larger than {max_body_bytes} bytes", "body")
    return body


def _decoded(text: str, *, is_base64: bool) -> bytes:
    if not is_base64:
        # A lone surrogate cannot come from GitHub, but may come from anybody; it must fail at the signature.
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(400, "invalid", "the body is not valid base64", "body") from None
