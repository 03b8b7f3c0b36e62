"""The local stack: the embedded AWS and the local GitHub, with the template built and deployed by the SAM CLI."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TextIO

import boto3
import psutil
from botocore.config import Config

from local.github.deliveries import HOOK_ID
from local.github.hooks import APP_ID
from local.github.sample import FULL_NAME
from local.github_control import GitHubControl
from local.process import LocalProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from local.progress import Progress

PROJECT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"

LEFT_OUT = frozenset(
    {
        "ArtifactBucketPolicy",
        "EndedExecutionsArchive",
        "DeliveryQuery",
        "ExecutionQuery",
        "PullRequestQuery",
        "SlowestWorkQuery",
        "RejectedDeliveriesQuery",
        "ErrorsByRepositoryQuery",
        "ErrorsByExceptionQuery",
        "LogEventsQuery",
        "InvocationsQuery",
        "DeadInvocationsQuery",
        "DeliveriesPage",
        "WorkPage",
        "StuckPage",
        "DeliveriesTicket",
        "WorkTicket",
        "DeadWorkTicket",
        "QuarantineTicket",
        "OverdueTicket",
        "TelemetryTicket",
    }
)
"""Resources of the template that the local deployment leaves out, by the condition OnEmbeddedAws: the policy that
demands TLS, which the embedded AWS does not speak, and what its CloudFormation does not know: the archive of events,
the saved queries and the composite alarms. The tests hold the template and the deployed stack to this list."""

SWEPT_HOOK = f"{FULL_NAME}:{HOOK_ID}"
UPLOADS = "pullback-local-uploads"
"""The bucket that SAM uploads to."""
PARAMETERS = {"LogRetentionDays": "1", "SweepHooks": SWEPT_HOOK}


class DeploymentError(RuntimeError):
    """The SAM CLI failed; the message holds the end of what it printed."""


@dataclass(frozen=True)
class StackInfo:
    """What a person or a program needs to know of a running stack; ``stack.json``."""

    webhook_url: str
    webhook_secret: str
    aws_endpoint_url: str
    region: str
    stack_name: str
    state_machine_arn: str
    github_url: str
    artifact_bucket: str
    idempotency_table: str
    dead_work_queue_url: str
    replay_queue_url: str
    quarantine_queue_url: str
    crash_queue_url: str
    ended_executions_queue_url: str
    directory: str
    pids: list[int]

    def execution_arn(self, name: str) -> str:
        """The ARN of the execution of this name."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"

    @classmethod
    def load(cls, file: Path) -> StackInfo:
        """Raises FileNotFoundError when no stack runs."""
        return cls(**json.loads(file.read_text()))


def aws_environment(endpoint: str | None = None) -> dict[str, str]:
    """The environment of every process of the stack: this one's, without a trace of anybody's AWS account."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }
    if endpoint:
        environ["AWS_ENDPOINT_URL"] = endpoint
    return environ


def aws_client(service: str, endpoint: str) -> Any:
    """A client of the embedded AWS, as its administrator."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the embedded AWS' own
        config=Config(retries={"total_max_attempts": 3, "mode": "standard"}, s3={"addressing_style": "path"}),
    )


def resources(info: StackInfo) -> list[dict[str, str]]:
    """The resources of a running stack, as ListStackResources tells of them.

    Raises:
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """
    pages = aws_client("cloudformation", info.aws_endpoint_url).get_paginator("list_stack_resources")
    return [one for page in pages.paginate(StackName=info.stack_name) for one in page["StackResourceSummaries"]]


def workers(info: StackInfo, function: str) -> list[psutil.Process]:
    """The processes in which a function runs, or waits for the next event. ``function``: its name."""
    found = []
    for process in psutil.Process(info.pids[0]).children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == function:
                found.append(process)
    return found


def tidy(directory: Path) -> None:
    """Removes what only a running stack needs; logs, traces and reports stay."""
    for name in ("stack.json", "engine.port", "github.port", "proxy.port"):
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / "tmp", ignore_errors=True)


class LocalStack:
    """Starts, deploys and stops the local stack.

    Args:
        directory: for everything that it writes: logs, build, traces, the git repository, ``stack.json``.
        progress: hears of each step.
        detached: leave it running when this process ends (`make up`).
        faults: put the fault proxy between the functions and the embedded AWS; then IAM is not enforced (engine.py).
        build: a directory where this project is built already, for who starts a second stack; None to build.
        clock: let CloudWatch's time be moved on, by the seconds in ``clock_file`` (local/cloudwatch/mend.py).
        parameters: of the template, instead of those in PARAMETERS or besides.
        repository: fills the local GitHub's directory; the default is the sample repository.
        app: whether the functions sign in as a GitHub App, and show check runs; otherwise with a token: statuses.
    """

    def __init__(
        self,
        directory: Path,
        progress: Progress,
        *,
        detached: bool = False,
        faults: bool = False,
        build: Path | None = None,
        clock: bool = False,
        parameters: Mapping[str, str] = MappingProxyType({}),
        app: bool = True,
        repository: Callable[[Path], object] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.traces = self.directory / "traces.jsonl"
        self._progress = progress
        self._detached = detached
        self._faults = faults
        self._build = build or self.directory / "build"
        self._is_built = build is not None
        self._clock = clock
        self._parameters = parameters
        self._app = app
        self._repository = repository
        self._processes: list[LocalProcess] = []
        self.info: StackInfo
        self.proxy_url: str | None = None
        """The fault proxy's address."""
        self.github_token = "ghp_" + secrets.token_hex(18)

    @cached_property
    def github_app(self) -> dict[str, str]:
        """The credential of the App that the local GitHub has, as people store it: the key on one line."""
        return {"app_id": str(APP_ID), "private_key": _private_key().replace("\n", "\\n")}

    @property
    def build(self) -> Path:
        """Where the built project is."""
        return self._build

    @property
    def tokens_file(self) -> Path:
        """Every task token, a line each; with faults only. It goes with the running stack."""
        return self.directory / "tmp" / "tokens"

    @property
    def clock_file(self) -> Path:
        """By how many seconds CloudWatch's time is ahead; with ``clock`` only. It goes with the running stack."""
        return self.directory / "tmp" / "clock"

    @property
    def info_file(self) -> Path:
        """``stack.json``: there while the stack runs."""
        return self.directory / "stack.json"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything, in the order in which it is needed.

        Raises:
            LocalProcessError: a server did not start.
            DeploymentError: the build or the deployment failed.
        """
        self._clean()
        if self._repository is not None:
            self._repository(self.directory / "github")
        engine, github = self._start_processes()
        if not self._is_built:
            # They start meanwhile.
            with self._progress.step("build the functions (sam build)"):
                self._sam("build", "--build-dir", str(self._build), "--cache-dir", str(self.directory / "cache"))
        with self._progress.step("start the embedded AWS and the local GitHub"):
            endpoint, github_url = f"http://127.0.0.1:{engine.port}", f"http://127.0.0.1:{github.port}"
        with self._progress.step("deploy the template (sam deploy)"):
            self._deploy(endpoint, github_url)
        with self._progress.step("hand out the secrets"):
            self.info = self._inspect(endpoint, github_url, [engine.pid, github.pid])
            if self._app:
                # So that the buttons of check runs do what they do at GitHub.
                GitHubControl(github_url).set_hook(self.info.webhook_url, self.info.webhook_secret, hook="app")
        # It holds the webhook's secret.
        self.info_file.touch(mode=0o600)
        self.info_file.write_text(json.dumps(asdict(self.info), indent=2) + "\n")

    def _start_processes(self) -> tuple[LocalProcess, LocalProcess]:
        """The embedded AWS and the local GitHub; they do not answer yet."""
        self._scratch.mkdir(parents=True)
        arguments = ["--traces", str(self.traces)]
        if self._faults:
            proxy = self._run(
                "local.fault_proxy",
                ["--upstream-port-file", str(self.directory / "engine.port")],
                self._environ(),
            )
            self.proxy_url = f"http://127.0.0.1:{proxy.port}"
            arguments += ["--fault-proxy", self.proxy_url, "--tokens", str(self.tokens_file)]
        if self._clock:
            arguments += ["--clock", str(self.clock_file)]
        engine = self._run("local.engine", arguments, self._environ())
        github = self._run(
            "local.github",
            ["--directory", str(self.directory / "github")],
            self._environ() | {"LOCAL_GITHUB_TOKEN": self.github_token},
        )
        return engine, github

    def stop(self) -> None:
        """Stops what was started and leaves logs, traces and reports."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        tidy(self.directory)

    @property
    def _scratch(self) -> Path:
        # The functions' code is unpacked there, and SAM builds there; it goes when the stack goes.
        return self.directory / "tmp"

    def _environ(self, endpoint: str | None = None) -> dict[str, str]:
        """The environment of everything that is started: nothing of it is left in the machine's temporary folder."""
        return aws_environment(endpoint) | {"TMPDIR": str(self._scratch)}

    def _clean(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in ("tmp", "build", "github"):
            shutil.rmtree(self.directory / leftover, ignore_errors=True)
        for leftover in ("traces.jsonl", "engine.log", "github.log", "proxy.log", "sam.log", "stack.json"):
            (self.directory / leftover).unlink(missing_ok=True)

    def _run(self, module: str, arguments: list[str], environ: dict[str, str]) -> LocalProcess:
        process = LocalProcess(
            module, arguments, self.directory, environ | {"PYTHONPATH": str(PROJECT)}, detached=self._detached
        )
        self._processes.append(process)
        return process

    def _deploy(self, endpoint: str, github_url: str) -> None:
        # SAM would make a stack of its own for the bucket, and look every 15 s whether it is there.
        aws_client("s3", endpoint).create_bucket(Bucket=UPLOADS)
        parameters = PARAMETERS | {
            "GitHubApiUrl": github_url,
            "ArtifactLink": f"{endpoint}/{{bucket}}/{{key}}",
            **self._parameters,
        }
        self._sam(
            "deploy",
            "--template-file",
            str(self._build / "template.yaml"),
            "--s3-bucket",
            UPLOADS,
            "--parameter-overrides",
            *(f"{name}={value}" for name, value in parameters.items()),
            endpoint=endpoint,
        )

    def _sam(self, command: str, *arguments: str, endpoint: str | None = None) -> None:
        tools = Path(sys.executable).parent
        environ = self._environ(endpoint) | {"PULLBACK_BUILD": "local", "PYTHON": sys.executable}
        # Seconds between two looks at a stack that changes.
        environ["SAM_CLI_POLL_DELAY"] = "0.1"
        # uv and sam from the project's environment, whether or not it is activated.
        environ["PATH"] = f"{tools}{os.pathsep}{environ['PATH']}"
        log = self.directory / "sam.log"
        with log.open("a") as out:
            status = self._follow(
                [
                    str(tools / "sam"),
                    command,
                    "--config-file",
                    str(PROJECT / "samconfig.toml"),
                    "--config-env",
                    "local",
                    *arguments,
                ],
                environ,
                out,
            )
        if status:
            tail = "\n".join(log.read_text().splitlines()[-25:])
            raise DeploymentError(f"sam {command} failed:\n{tail}\n(the whole of it: {log})")

    def _follow(self, command: list[str], environ: dict[str, str], out: TextIO) -> int:
        with subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - it was asked for
                for line in process.stdout:
                    out.write(line)
                    self._progress.detail(line)
                return process.wait()
            except BaseException:
                process.terminate()
                raise

    def _inspect(self, endpoint: str, github_url: str, pids: list[int]) -> StackInfo:
        name = "pullback-local"
        stack = aws_client("cloudformation", endpoint).describe_stacks(StackName=name)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        secretsmanager = aws_client("secretsmanager", endpoint)
        # In forms in which people store them, too: shared.stored_secret.
        credential = self.github_app if self._app else {"token": f"{self.github_token} "}
        secretsmanager.put_secret_value(
            SecretId=outputs["GitHubCredentialArn"], SecretString="\ufeff" + json.dumps(credential)
        )
        secret = secretsmanager.get_secret_value(SecretId=outputs["WebhookSecretArn"])["SecretString"]
        secretsmanager.put_secret_value(SecretId=outputs["WebhookSecretArn"], SecretString=f"{secret}\n")
        return StackInfo(
            # The host name of API Gateway needs a resolver; this form works with plain curl.
            webhook_url=f"{endpoint}/restapis/{outputs['WebhookApiId']}/live/_user_request_/webhook",
            webhook_secret=secret,
            aws_endpoint_url=endpoint,
            region=REGION,
            stack_name=name,
            state_machine_arn=outputs["StateMachineArn"],
            github_url=github_url,
            artifact_bucket=outputs["ArtifactBucketName"],
            idempotency_table=outputs["IdempotencyTableName"],
            dead_work_queue_url=outputs["DeadWorkQueueUrl"],
            replay_queue_url=outputs["ReplayQueueUrl"],
            quarantine_queue_url=outputs["QuarantineQueueUrl"],
            crash_queue_url=outputs["CrashQueueUrl"],
            ended_executions_queue_url=outputs["EndedExecutionsQueueUrl"],
            directory=str(self.directory),
            pids=pids,
        )


def _private_key() -> str:
    """A key of this run's own."""
    # The installed command has neither the local GitHub nor this.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(pem, plain, serialization.NoEncryption()).decode()
