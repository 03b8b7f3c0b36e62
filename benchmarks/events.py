"""The events that the measured handlers get."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from benchmarks.inside.aws import SECRET
from local.flow import sample_of
from local.github import deliveries

DELIVERY_ID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def webhook_event(size: int | None = None) -> dict[str, Any]:
    """API Gateway's event of GitHub's own sample delivery.

    Args:
        size: bytes that its body has at least, made up of labels; None for the sample's own.
    """
    payload = json.loads(sample_of("synchronize"))
    body = _compact(payload)
    if size is not None:
        label = payload["repository"]["owner"]
        missing = size - len(body)
        payload["pull_request"]["labels"] = [
            {**label, "id": number} for number, _ in zip(count(), range(0, missing, len(_compact(label))), strict=False)
        ]
        body = _compact(payload)
    headers = deliveries.headers("pull_request", DELIVERY_ID, deliveries.sign(SECRET, body))
    return {
        "resource": "/webhook",
        "path": "/webhook",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "1234567890",
            "domainName": "1234567890.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "1234567890",
            "extendedRequestId": "request=",
            "httpMethod": "POST",
            "identity": {"sourceIp": "140.82.112.1", "userAgent": headers["User-Agent"]},
            "path": "/live/webhook",
            "protocol": "HTTP/1.1",
            "requestId": "52fdfc07-2182-454f-963f-5f0f9a621d72",
            "requestTime": "27/Nov/2026:12:00:00 +0000",
            "requestTimeEpoch": 1_795_780_800_000,
            "resourceId": "123456",
            "resourcePath": "/webhook",
            "stage": "live",
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def task_event() -> dict[str, Any]:
    """The event of the state machine's one state."""
    return {
        "action": "synchronize",
        "delivery_id": DELIVERY_ID,
        "repository": {"full_name": "octo-org/hello"},
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "head": {"ref": "hello", "sha": "a" * 40},
            "base": {"ref": "main", "sha": "b" * 40},
        },
        "sender": {"login": "octocat"},
        "taskToken": "AQCEAAAAKgAAAAMAAAAAAAAAA",
        "execution": DELIVERY_ID,
    }


def _compact(payload: Any) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
