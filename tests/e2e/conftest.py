"""The deployed stack: built and deployed once for all end-to-end tests, with IAM enforced."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from drills.alarms.drill import PARAMETERS
from local import flow, traces
from local.github import deliveries
from local.github_control import GitHubControl
from local.progress import Progress
from local.stack import LocalStack, aws_client, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.flow import Flow
    from local.github import PullRequest
    from local.traces import Segment


@dataclass(frozen=True)
class Deployed:
    """The running stack, and what tests do with it."""

    stack: LocalStack
    github: GitHubControl

    def client(self, service: str) -> Any:
        """A client of the embedded AWS, as its administrator."""
        return aws_client(service, self.stack.info.aws_endpoint_url)

    def resource(self, name: str) -> str:
        """What a resource of the template is called in the stack."""
        (found,) = [one for one in resources(self.stack.info) if one["LogicalResourceId"] == name]
        return found["PhysicalResourceId"]

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Invokes the alias of a function of the template, and waits for its answer."""
        answer: dict[str, Any] = self.client("lambda").invoke(
            FunctionName=self.resource(function), Qualifier="live", Payload=json.dumps(event).encode()
        )
        return answer

    def body(self, sample: str, pull_request: PullRequest | None = None, **changes: Any) -> bytes:
        """The sample delivery of an action."""
        body = deliveries.render(flow.event_file(sample).read_bytes(), pull_request or self.github.pull_request())
        return json.dumps({**json.loads(body), **changes}).encode() if changes else body

    def send(
        self, body: bytes, *, event: str = "pull_request", delivery_id: str | None = None, **headers: str | None
    ) -> tuple[int, dict[str, Any]]:
        """Sends a delivery, signed unless a header says otherwise."""
        signature = deliveries.sign(self.stack.info.webhook_secret, body)
        sent = deliveries.headers(event, delivery_id or str(uuid.uuid4()), signature)
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
        given = {name: value for name, value in sent.items() if value is not None}
        status, answer, _ = deliveries.send(self.stack.info.webhook_url, body, given)
        return status, answer

    def run(self, action: str, pull_request: PullRequest | None = None) -> Flow:
        """A delivery, followed to the end of its execution."""
        info = self.stack.info
        sent = flow.deliver(info, action, pull_request or self.github.pull_request())
        return flow.follow(sent, info, self.stack.traces)

    def segments(self, delivery_id: str) -> list[Segment]:
        """The segments of a delivery's traces."""
        return traces.of_delivery(traces.read(self.stack.traces), delivery_id)

    def execution_arn(self, name: str) -> str:
        """The ARN of the execution of this name."""
        return self.stack.info.execution_arn(name)

    def states(self, sha: str, action: str | None = None) -> list[str]:
        """The history of a commit's statuses, of one action or of all."""
        return [
            one["state"]
            for one in self.github.statuses()
            if one["sha"] == sha and action in (None, one["context"].removeprefix("pullback/"))
        ]

    def log_lines(self, function: str) -> list[dict[str, Any]]:
        """Everything that a function logged, line by line; a line that is no JSON has the key ``text``."""
        lines = flow.log_lines(self.stack.info, function, limit=1_000_000)
        return [_parsed(line) for line in lines if line.strip()]


def _parsed(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {"text": line}
    return parsed if isinstance(parsed, dict) else {"text": line}


DRILLS = {"test_alarm_drill", "test_chaos", "test_dashboard"}
"""The modules whose tests share ``faulty``."""


class TwoStacks(LoadScopeScheduling):  # type: ignore[misc] # xdist tells no types
    """With two workers: the drills in one, all that shares the deployed stack in the other, each in its order."""

    def _split_scope(self, nodeid: str) -> str:
        return "drills" if Path(nodeid.partition("::")[0]).stem in DRILLS else "deployed"


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TwoStacks:
    """How ``make test`` shares these tests out; marks of ``xdist_group`` do not reach xdist 3.8 with pytest 9."""
    return TwoStacks(config, log)


@pytest.fixture(scope="session")
def machines_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the machine's temporary folder is to everything that is started for ``deployed``, and to nothing else."""
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, machines_temporary_folder: Path) -> Iterator[Deployed]:
    with LocalStack(tmp_path_factory.mktemp("stack"), Progress()) as stack:
        yield Deployed(stack, GitHubControl(stack.info.github_url))


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The stack of the drills, and of what sends traffic of its own for long.

    It has the fault proxy in it, and so no IAM, and a clock that can be moved.
    """
    directory = tmp_path_factory.mktemp("faulty")
    with LocalStack(directory, Progress(), faults=True, clock=True, parameters=PARAMETERS, app=False) as stack:
        yield stack


@pytest.fixture(scope="session")
def synchronize(deployed: Deployed) -> Flow:
    """A delivery of ``synchronize`` that went through."""
    return deployed.run("synchronize")


@pytest.fixture(scope="session")
def build(deployed: Deployed) -> Flow:
    """A delivery of ``build`` that went through."""
    return deployed.run("build")


@pytest.fixture(scope="session")
def retried_pull_request(deployed: Deployed) -> PullRequest:
    """The pull request of ``retried``, and of no other delivery."""
    return deployed.github.open_pull_request({"retried.txt": f"{uuid.uuid4()}\n"})


@pytest.fixture(scope="session")
def retried(deployed: Deployed, synchronize: Flow, retried_pull_request: PullRequest) -> Flow:
    """A delivery whose first attempt found GitHub away; the second one, ten seconds later, did the work."""
    pull_request = retried_pull_request
    # As often as one attempt asks.
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", status=502, times=3)
    done = deployed.run("synchronize", pull_request)
    deployed.github.clear_faults()
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    return done


@pytest.fixture
def warm(deployed: Deployed, synchronize: Flow) -> Iterator[None]:
    """Every function has a worker; no fault is left behind."""
    yield
    deployed.github.clear_faults()


@pytest.fixture
def pull_request(deployed: Deployed) -> PullRequest:
    """A pull request of the test's own."""
    return deployed.github.open_pull_request({"work.txt": f"{uuid.uuid4()}\n"})


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits for a condition: the value as soon as it is true, or the failure of the test after 20 s."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 20
        while not (value := condition()):
            if time.monotonic() > deadline:
                pytest.fail("it did not become true within 20 s")
            time.sleep(0.1)
        return value

    return wait
