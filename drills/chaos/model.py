"""What a row of the drill's table consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


Function = Literal["webhook", "task", "processor", "crash", "closing", "replay", "sweeper", "watch"]
Queue = Literal["crash", "ended", "replay", "dead", "quarantine"]
Kind = Literal["throttled", "5xx", "timeout", "reset", "denied", "answer lost", "held", "answered late"]

FUNCTIONS: tuple[Function, ...] = ("webhook", "task", "processor", "crash", "closing", "replay", "sweeper", "watch")

SDK_TIMEOUT_SECONDS = 2.0
"""The functions' AWS clients wait so long for an answer (functions/shared/aws.py), S3's apart."""
SDK_ATTEMPTS = 2
"""So often they try."""
HOLD_SECONDS = 20.0
"""A held call is held so long, unless its caller is killed before; far longer than its caller waits."""

_THROTTLED = {
    "cloudformation": ("Throttling", 400),
    "dynamodb": ("ProvisionedThroughputExceededException", 400),
    "lambda": ("TooManyRequestsException", 429),
    "s3": ("SlowDown", 503),
    "secretsmanager": ("ThrottlingException", 400),
    "sqs": ("RequestThrottled", 403),
    "stepfunctions": ("ThrottlingException", 400),
}
_BROKEN = {
    "cloudformation": ("InternalFailure", 500),
    "dynamodb": ("InternalServerError", 500),
    "lambda": ("ServiceException", 500),
    "s3": ("InternalError", 500),
    "secretsmanager": ("InternalServiceError", 500),
    "sqs": ("InternalError", 500),
    "stepfunctions": ("ServiceUnavailable", 503),
}


@dataclass(frozen=True)
class Call:
    """One AWS call of one function, as the fault proxy recognises it.

    Args:
        service: botocore's name of it.
        operation: AWS's name of it.
        where: JMESPath over the request's JSON, true when it is this call: two functions make some calls alike.
        headers: parts of header values that the request must have.
    """

    service: str
    operation: str
    where: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def meets(self, kind: Kind, times: int | None = None) -> dict[str, Any]:
        """The proxy's rule that makes this call go wrong.

        Args:
            kind: how.
            times: how often; None for as often as the client tries (once when it is told that it may not).
        """
        rule: dict[str, Any] = {"service": self.service, "operation": self.operation}
        if self.where:
            rule["body"] = self.where
        if self.headers:
            rule["headers"] = dict(self.headers)
        is_final = kind in ("denied", "held", "answer lost", "answered late")
        # SQS's throttling reaches the client in a form that it does not try again after.
        is_final = is_final or (self.service, kind) == ("sqs", "throttled")
        rule["times"] = 1 if is_final and times in (None, SDK_ATTEMPTS) else times or SDK_ATTEMPTS
        return rule | self._effect(kind)

    def is_down(self, kind: Kind = "5xx") -> dict[str, Any]:
        """The rule that makes this call go wrong until the fault is over."""
        rule = self.meets(kind)
        del rule["times"]
        return rule

    def refuses(self, code: str, times: int | None = None, status: int = 400) -> dict[str, Any]:
        """The rule that answers with this error code."""
        rule = self.meets("denied", times)
        return rule | {"error": {"code": code, "status": status}}

    def _effect(self, kind: Kind) -> dict[str, Any]:
        match kind:
            case "throttled":
                code, status = _THROTTLED[self.service]
                return {"error": {"code": code, "status": status}}
            case "5xx":
                code, status = _BROKEN[self.service]
                return {"error": {"code": code, "status": status}}
            case "timeout":
                # A little longer than the client waits; S3's clients wait 30 s, and get the 504 of a gateway.
                return {"timeout_ms": (SDK_TIMEOUT_SECONDS + 0.4) * 1000}
            case "reset":
                return {"reset": True}
            case "denied":
                if self.service == "s3":
                    return {"error": {"code": "AccessDenied", "status": 403}}
                return {"error": {"code": "AccessDeniedException", "status": 403 if self.service == "lambda" else 400}}
            case "held":
                return {"timeout_ms": HOLD_SECONDS * 1000}
            case "answer lost":
                # Carried out; see local.fault_proxy.
                return {"response": {"abort_bytes": 0}}
            case "answered late":
                # Carried out, and the answer comes in at a byte in two seconds.
                return {"response": {"bandwidth_kbps": 0.5 / 1024}}


@dataclass(frozen=True)
class Expected:
    """What must hold in the end, when the fault is over, deliveries that were refused were sent again, and dead work
    was replayed.
    """

    answers: tuple[str, ...] = ("202 started",)
    """Of the webhook, in order: status and result. What it refused with 5xx is sent again, which is an answer more."""
    executions: tuple[str, ...] = ("SUCCEEDED success",)
    """Of each delivery, in order, its attempts: status, and conclusion or error."""
    statuses: tuple[str, ...] = ("pending", "success")
    """The commit statuses of the action, all of them, in order."""
    objects: int | None = None
    """Objects in the bucket for the commits; None for two for a bundle and otherwise none."""
    metrics: Mapping[str, int | str] = field(default_factory=lambda: MappingProxyType({}))
    """By ``function.Metric`` its sum; ``"1+"`` for at least one."""
    quarantined: tuple[str, ...] = ()
    """The reasons of the messages that were put aside."""


@dataclass(frozen=True)
class Situation:
    """One row but for what is done in it: what is broken, and what must hold.

    Args:
        name: what is broken, for people; unique.
        expected: what must hold.
        action: the delivery's.
        aws: rules of the fault proxy, in force when the scene says so.
        github: faults of the local GitHub (``local.github.Fault``), the same.
        cold: functions whose processes are new, so that they have nothing cached.
        impatient: queues that offer a message that was given back after some seconds, not minutes.
        lasts_until: when the faults are taken away: ``ended`` when those that happen a number of times have, and
            every execution has ended; ``quiet`` when moreover nothing is left in a queue.
        within: seconds that every execution, and each wait of the drill, may take.
    """

    name: str
    expected: Expected = field(default_factory=Expected)
    action: str = "synchronize"
    aws: tuple[Mapping[str, Any], ...] = ()
    github: tuple[Mapping[str, Any], ...] = ()
    cold: tuple[Function, ...] = ()
    impatient: tuple[Queue, ...] = ()
    lasts_until: Literal["ended", "quiet"] = "ended"
    within: float = 60.0


@dataclass
class Result:
    """What came of one row."""

    name: str
    held: bool
    outcome: str
    effects: int
    seconds: float
    problems: list[str] = field(default_factory=list)
