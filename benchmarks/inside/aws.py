"""AWS as both sides of a measurement see it: the same few answers, over HTTP, below botocore, or in its place.

Runs inside the measured process, and outside of it behind an HTTP server. Nothing but the standard library is needed to
answer; botocore is imported where it is stubbed.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any, cast

SECRET = "It's a Secret to Everybody"  # noqa: S105 - GitHub's documentation has it
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pullback:"


def answer(operation: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of AWS' answer.

    Args:
        operation: its name, such as ``StartExecution``; that of a Lambda invocation is ``Invoke``.
        body: the request's.
    """
    if operation == "Invoke":
        return 202, b""
    request = json.loads(body)
    if operation == "GetSecretValue" and request.get("VersionStage") == "AWSPREVIOUS":
        # There is none until the first rotation.
        return 400, b'{"__type": "ResourceNotFoundException"}'
    answers: dict[str, dict[str, Any]] = {
        "GetSecretValue": {"Name": "webhook", "SecretString": SECRET},
        "StartExecution": {"executionArn": f"{EXECUTION}{request.get('name')}", "startDate": time.time()},
        "PutItem": {},
        "UpdateItem": {},
    }
    if operation not in answers:
        return 400, json.dumps({"__type": "UnknownOperationException", "message": operation}).encode()
    return 200, json.dumps(answers[operation]).encode()


def operation_of(target: str | None, path: str) -> str:
    """The operation of a request, by its header x-amz-target and its path."""
    return "Invoke" if path.endswith("/invocations") else (target or "").rpartition(".")[2]


def stub_transport() -> None:
    """Answers what botocore would send, in process: all of botocore but its connection stays."""
    from botocore.awsrequest import AWSResponse, HeadersDict
    from botocore.httpsession import URLLib3Session

    class Raw:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def stream(self) -> list[bytes]:
            return [self._content]

    def send(_: Any, request: Any) -> Any:
        target = request.headers.get("X-Amz-Target")
        target = target.decode() if isinstance(target, bytes) else target
        body = request.body.encode() if isinstance(request.body, str) else request.body
        status, content = answer(operation_of(target, request.url), body or b"{}")
        headers = {"content-type": "application/x-amz-json-1.1", "content-length": str(len(content))}
        return AWSResponse(request.url, status, cast("Any", HeadersDict(headers)), Raw(content))

    setattr(URLLib3Session, "send", send)  # noqa: B010 - no subclass would be used


def stub_calls() -> None:
    """Answers each call of a client in botocore's place: nothing of botocore is left."""
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    def call(_: Any, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        status, content = answer(operation, json.dumps(arguments).encode())
        found: dict[str, Any] = json.loads(content or b"{}")
        if status >= 400:
            raise ClientError({"Error": {"Code": found["__type"]}}, operation)
        if "startDate" in found:
            found["startDate"] = datetime.fromtimestamp(found["startDate"], UTC)
        return found

    setattr(BaseClient, "_make_api_call", call)  # noqa: B010 - no subclass would be used
