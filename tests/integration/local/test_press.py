"""`pullback trigger --press`: the buttons of a check run, from the terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from local.github.server import LocalGitHub
from local.progress import Progress
from local.stack import StackInfo
from local.trigger import press
from tests.integration.local.test_local_checks import App
from tests.integration.local.test_local_github import TOKEN, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUTTON = {"label": "Approve", "description": "Do the work", "identifier": "approve"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The webhook."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def app(tmp_path: Path, receiver: Receiver) -> Iterator[App]:
    with LocalGitHub(tmp_path / "github", token=TOKEN) as server:
        server.set_hook(receiver.url, "s3cret", hook="app")
        fields = dict.fromkeys(StackInfo.__dataclass_fields__, "") | {"github_url": server.api_url, "pids": []}
        (tmp_path / "stack.json").write_text(json.dumps(fields))
        yield App(server)


@pytest.mark.parametrize(("button", "action"), [("rerun", "rerequested"), ("approve", "requested_action")])
def test_the_newest_run_of_the_action_is_meant(
    app: App, receiver: Receiver, tmp_path: Path, button: str, action: str
) -> None:
    app.create()
    newest = app.create(actions=[BUTTON]).json()["id"]
    app.create(name="pullback/synchronize")
    out = io.StringIO()
    assert press(tmp_path, Progress(Console(file=out)), "build", button) == 0
    ((headers, body),) = receiver.requests
    payload = json.loads(body)
    assert (payload["action"], payload["check_run"]["id"]) == (action, newest)
    assert payload.get("requested_action") == ({"identifier": "approve"} if button == "approve" else None)
    assert out.getvalue() == f"202 for {button} of pullback/build, delivery {headers['X-GitHub-Delivery']}\n"


def test_a_refusal_fails(app: App, receiver: Receiver, tmp_path: Path) -> None:
    app.create()
    receiver.status = 503
    assert press(tmp_path, Progress(Console(file=io.StringIO())), "build", "rerun") == 1


def test_what_is_not_there(app: App, tmp_path: Path) -> None:
    progress = Progress(Console(file=io.StringIO()))
    with pytest.raises(RuntimeError, match="no check run of build yet"):
        press(tmp_path, progress, "build", "rerun")
    app.create()
    with pytest.raises(RuntimeError, match=r"no button 'approve'; it has rerun$"):
        press(tmp_path, progress, "build", "approve")
    with pytest.raises(RuntimeError, match=r"`make up` starts one$"):
        press(tmp_path / "elsewhere", progress, "build", "rerun")
