"""Dead work in every shape that it has, as AWS makes them."""

from __future__ import annotations

import json
from typing import Any

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAcanary-token"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"


def execution_arn(name: str) -> str:
    return f"{MACHINE.replace('stateMachine', 'execution')}:{name}"


def task_event(job: dict[str, Any], token: str = TOKEN) -> dict[str, Any]:
    """What Lambda keeps in a dead-letter queue: the event as it was."""
    return {**job, "taskToken": token, "execution": job["delivery_id"]}


def destination_record(job: dict[str, Any], token: str = TOKEN, error: str = "Runtime.ExitError") -> dict[str, Any]:
    """docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"""
    return {
        "version": "1.0",
        "timestamp": "2026-11-24T07:00:00.000Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:pullback-processor:live",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 1,
        },
        "requestPayload": task_event(job, token),
        "responseContext": {"statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"},
        "responsePayload": {"errorType": error, "errorMessage": "RequestId: e4b4 Error: Runtime exited: killed"},
    }


def status_event(
    job: dict[str, Any], status: str = "FAILED", name: str | None = None, **changes: Any
) -> dict[str, Any]:
    """docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    name = name or job["delivery_id"]
    failed = status == "FAILED"
    detail = {
        "executionArn": execution_arn(name),
        "stateMachineArn": MACHINE,
        "name": name,
        "status": status,
        "startDate": 1_795_000_000_000,
        "stopDate": 1_795_000_060_000,
        "input": json.dumps(job),
        "output": None,
        "inputDetails": {"included": True},
        "outputDetails": None,
        "error": "GitHubRefused" if failed else None,
        "cause": "{}" if failed else None,
        **changes,
    }
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2026-11-24T07:00:00Z",
        "region": "us-east-1",
        "resources": [execution_arn(name)],
        "detail": detail,
    }


def replayed_event(job: dict[str, Any]) -> dict[str, Any]:
    """As EventBridge sends it again from an archive."""
    return {**status_event(job), "replay-name": "after-the-outage"}


def sqs_event(*bodies: object, queue: str = "queue", **attributes: str) -> dict[str, Any]:
    """What an event source mapping hands to its function; a body that is no text becomes JSON."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "handle",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795000060000", **attributes},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue}",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }
