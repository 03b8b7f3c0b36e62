"""`make trigger`: signs one delivery and sends it, to the local stack or to a deployed one."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING

import urllib3

from local.flow import sample_of
from local.github import deliveries
from local.github_control import GitHubControl
from local.stack import StackInfo

if TYPE_CHECKING:
    from pathlib import Path

    from local.progress import Progress


def trigger(directory: Path, progress: Progress, action: str, event: Path | None, delivery_id: str | None) -> int:
    """Sends a delivery and prints the answer.

    Returns:
        The exit code: 0 when the answer was 2xx.

    Raises:
        RuntimeError: there is neither a running stack nor a URL with a secret, or the webhook did not answer.
        OSError: the event's file cannot be read.
    """
    url, secret = os.environ.get("PULLBACK_URL"), os.environ.get("PULLBACK_SECRET")
    stack = None
    if bool(url) != bool(secret):
        raise RuntimeError("URL= and SECRET= belong together: a delivery to another stack needs both")
    if not url or not secret:
        try:
            stack = StackInfo.load(directory / "stack.json")
        except FileNotFoundError:
            raise RuntimeError("no stack runs here: `make up` starts one; or give URL= and SECRET=") from None
        url, secret = stack.webhook_url, stack.webhook_secret
    if event is not None:
        body = event.read_bytes()
    elif stack is not None:
        body = deliveries.render(sample_of(action), GitHubControl(stack.github_url).pull_request())
    else:
        body = sample_of(action)
    delivery_id = delivery_id or str(uuid.uuid4())
    try:
        status, answer, ack_ms = deliveries.deliver(url, secret, body, delivery_id)
    except urllib3.exceptions.HTTPError as error:
        raise RuntimeError(f"{url} did not answer: {type(error).__name__}") from None
    progress.console.print(f"{status} in {ack_ms:.0f} ms, delivery {delivery_id}", soft_wrap=True)
    progress.console.print(json.dumps(answer, indent=2), markup=False)
    return 0 if 200 <= status < 300 else 1
