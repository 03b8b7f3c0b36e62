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


def press(directory: Path, progress: Progress, action: str, button: str) -> int:
    """Presses a button of the newest check run of an action, on the local stack, and prints what came of it.

    Args:
        directory: the stack's.
        progress: hears of it.
        action: the action.
        button: ``rerun``, or the identifier of one of the run's own.

    Returns:
        The exit code: 0 when the webhook's answer was 2xx.

    Raises:
        RuntimeError: no stack runs, or there is no such check run or button.
    """
    github = GitHubControl(_stack(directory).github_url)
    run = next((one for one in reversed(github.check_runs()) if one["name"] == f"pullback/{action}"), None)
    if run is None:
        raise RuntimeError(f"no check run of {action} yet: `make trigger ACTION={action}` makes one")
    known = ["rerun", *(one["identifier"] for one in run["actions"])]
    if button not in known:
        raise RuntimeError(f"this check run has no button {button!r}; it has {', '.join(known)}")
    guid = github.press_rerun(run["id"]) if button == "rerun" else github.press(run["id"], button)
    status: int = next(one["status_code"] for one in github.deliveries("app") if one["guid"] == guid)
    progress.console.print(f"{status} for {button} of {run['name']}, delivery {guid}", soft_wrap=True)
    return 0 if 200 <= status < 300 else 1


def _stack(directory: Path, otherwise: str = "") -> StackInfo:
    try:
        return StackInfo.load(directory / "stack.json")
    except FileNotFoundError:
        raise RuntimeError(f"no stack runs here: `make up` starts one{otherwise}") from None


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
        stack = _stack(directory, "; or give URL= and SECRET=")
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
