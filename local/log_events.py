"""The log events of a running stack, as CloudWatch Logs keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class LogEvent:
    """One log event.

    Attributes:
        timestamp_ms: milliseconds since the epoch.
        message: the line as it was written.
        log_group: the group's name after its account's id and a colon, as Logs Insights shows it in ``@log``.
        log_stream: the stream's name.
    """

    timestamp_ms: int
    message: str
    log_group: str
    log_stream: str


def read(logs: Any, groups: Iterable[str]) -> list[LogEvent]:
    """Everything in log groups, each group in the order in which it was written.

    The embedded AWS gives all lines of an invocation the time at which it ended. AWS gives each line its own, so a line
    that tells its time is given that.

    Args:
        logs: a client of CloudWatch Logs.
        groups: the groups' names.

    Raises:
        ClientError: there is no such group.
    """
    return [
        LogEvent(_written_at(one["message"]) or one["timestamp"], one["message"], f"{account}:{group}", stream)
        for group in groups
        for account in [_account(logs, group)]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for one in page["events"]
        for stream in [one["logStreamName"]]
    ]


def _account(logs: Any, group: str) -> str:
    for one in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        if one["logGroupName"] == group:
            account: str = one["arn"].split(":")[4]
            return account
    return ""


def _written_at(message: str) -> int | None:
    """Powertools' ``timestamp`` in milliseconds since the epoch; None for a line without."""
    try:
        text = json.loads(message)["timestamp"]
        written = datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f%z")
    except (ValueError, TypeError, KeyError):
        return None
    return round(written.astimezone(UTC).timestamp() * 1000)
