"""The table: every fault that the drill puts into the stack, and what must hold.

The state machine's Retry, the claim on a piece of work, the queues and the replay are what makes it hold; the rows say
only what can be seen from outside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drills.chaos import scenes
from drills.chaos.check_runs import CHECK_RUNS
from drills.chaos.fault import FAILS_AND_IS_REPLAYED, GITHUB_REFUSES, Fault, counting, metrics
from drills.chaos.model import SDK_ATTEMPTS, Call, Expected
from drills.chaos.ordinary_day import ORDINARY_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drills.chaos.model import Kind, Queue

# ---------------------------------------------------------------------------------------------------------------------
# The calls
# ---------------------------------------------------------------------------------------------------------------------
_OF_TASK = "starts_with(not_null(Item.id.S, Key.id.S, ''), 'task')"
_OF_PROCESSOR = "starts_with(not_null(Item.id.S, Key.id.S, ''), 'processor')"
_OF_WORK = "starts_with(not_null(Key.id.S, ''), 'work#')"
_BY_CLOSING = "starts_with(not_null(ExpressionAttributeValues.\":owner\".S, ''), 'closing')"
_TAKING = 'ExpressionAttributeValues.":owner"'
_SWEPT = "!starts_with(not_null(Item.id.S, Key.id.S, ''), 'work#')"

WEBHOOK_SECRET = Call("secretsmanager", "GetSecretValue", "contains(SecretId, 'WebhookSecret')")
CREDENTIAL = Call("secretsmanager", "GetSecretValue", "contains(SecretId, 'GitHubCredential')")
START = Call("stepfunctions", "StartExecution")
START_AGAIN = Call("stepfunctions", "StartExecution", "ends_with(name, '-2')")
DESCRIBE = Call("stepfunctions", "DescribeExecution")
KEEP = Call("sqs", "SendMessage", "contains(QueueUrl, 'ReplayQueue')")
QUARANTINE = Call("sqs", "SendMessage", "contains(QueueUrl, 'QuarantineQueue')")
INVOKE = Call("lambda", "Invoke")
TASK_PUT = Call("dynamodb", "PutItem", _OF_TASK)
TASK_SAVE = Call("dynamodb", "UpdateItem", _OF_TASK)
TASK_DELETE = Call("dynamodb", "DeleteItem", _OF_TASK)
HEARTBEAT = Call("stepfunctions", "SendTaskHeartbeat")
SUCCESS = Call("stepfunctions", "SendTaskSuccess")
FAILURE = Call("stepfunctions", "SendTaskFailure", "error != 'ProcessorCrashed'")
CRASHED = Call("stepfunctions", "SendTaskFailure", "error == 'ProcessorCrashed'")
PROCESSOR_PUT = Call("dynamodb", "PutItem", _OF_PROCESSOR)
PROCESSOR_SAVE = Call("dynamodb", "UpdateItem", _OF_PROCESSOR)
PROCESSOR_DELETE = Call("dynamodb", "DeleteItem", _OF_PROCESSOR)
FIND_WORK = Call("dynamodb", "GetItem", _OF_WORK)
TAKE_WORK = Call("dynamodb", "UpdateItem", f"{_OF_WORK} && {_TAKING}")
WRITE_WORK = Call("dynamodb", "UpdateItem", f'{_OF_WORK} && ExpressionAttributeValues.":yes"')
DECIDE_WORK = Call("dynamodb", "UpdateItem", f'{_OF_WORK} && ExpressionAttributeValues.":result"')
END_WORK = Call("dynamodb", "UpdateItem", f"{_OF_WORK} && ExpressionAttributeValues.\":phase\".S == 'reported'")
CLOSE_WORK = Call("dynamodb", "UpdateItem", f"{_OF_WORK} && {_TAKING} && {_BY_CLOSING}")
READ_BUNDLE = Call("s3", "GetObject")
STORE_BUNDLE = Call("s3", "PutObject", headers={"content-type": "application/gzip"})
STORE_MANIFEST = Call("s3", "PutObject", headers={"content-type": "application/json"})
HEAD_BUNDLE = Call("s3", "HeadObject")
SWEEP_GET = Call("dynamodb", "GetItem", _SWEPT)
SWEEP_UPDATE = Call("dynamodb", "UpdateItem", _SWEPT)

WEBHOOK_ATTEMPTS = 1
"""So often it tries a call of Step Functions: GitHub waits for the answer (functions/webhook/handler.py)."""

TOKEN_ATTEMPTS = 1
"""So often a call about the record of a token is tried (functions/shared/idempotency.py)."""

KINDS: tuple[Kind, ...] = ("throttled", "5xx", "timeout", "reset")
ALL_KINDS: tuple[Kind, ...] = (*KINDS, "denied")

_SLOW_FILES = ({"path": r"/pulls/\d+/files", "delay": 2.5, "times": 1},)


def each(
    what: str,
    call: Call,
    expected: Expected,
    *,
    kinds: tuple[Kind, ...] = KINDS,
    times: int = SDK_ATTEMPTS,
    besides: tuple[Mapping[str, Any], ...] = (),
    **row: Any,
) -> list[Fault]:
    """A row for each way in which a call can go wrong, all attempts of its client one after the other.

    Args:
        what: whose call it is.
        call: the call.
        expected: what must hold, in whatever way it went wrong.
        kinds: the ways.
        times: how often the client tries; it does not try again what it may not do.
        besides: further rules of the fault proxy, before this one.
        row: further fields of the rows.
    """
    return [
        Fault(
            f"{what} {call.operation}: {kind}",
            expected,
            aws=(*besides, call.meets(kind, times if kind != "denied" else 1)),
            **row,
        )
        for kind in kinds
    ]


# ---------------------------------------------------------------------------------------------------------------------
# AWS, call by call
# ---------------------------------------------------------------------------------------------------------------------
WEBHOOK = [
    *each(
        "webhook",
        WEBHOOK_SECRET,
        Expected(answers=("503 unavailable", "202 started"), metrics=metrics(webhook_DeliveryUnavailable=1)),
        kinds=ALL_KINDS,
        cold=("webhook",),
    ),
    *each(
        "webhook",
        START,
        Expected(
            answers=("202 queued",),
            metrics=metrics(webhook_DeliveryQueued=1, replay_ReplayStarted=1, webhook_DeliveryUnavailable=0),
        ),
        kinds=ALL_KINDS,
        times=WEBHOOK_ATTEMPTS,
    ),
    Fault(
        "webhook StartExecution: answer lost",
        # It is kept, and the replay finds that it runs or is done.
        Expected(answers=("202 queued",), metrics=metrics(replay_ReplayRefused=1, task_TaskDispatched=1)),
        aws=(START.meets("answer lost"),),
    ),
    *each(
        "webhook",
        DESCRIBE,
        Expected(answers=("202 started", "202 queued"), metrics=metrics(replay_ReplayRefused=1)),
        times=WEBHOOK_ATTEMPTS,
        scene=scenes.delivered_again,
    ),
    *[
        Fault(
            f"webhook SendMessage: {kind}, and StartExecution is down",
            Expected(answers=("503 unavailable", "202 started"), metrics=metrics(webhook_DeliveryUnavailable=1)),
            aws=(START.meets("5xx", WEBHOOK_ATTEMPTS), KEEP.meets(kind, 1)),
        )
        for kind in KINDS
    ],
]

TASK = [
    *each("task", TASK_PUT, counting(task_TaskDispatched=1), kinds=ALL_KINDS, times=TOKEN_ATTEMPTS),
    *each("task", INVOKE, counting(task_TaskDispatched=1, processor_WorkSucceeded=1), kinds=ALL_KINDS),
    # The processor was dispatched by the attempt that counts as failed, and by the next one again.
    *each("task", TASK_SAVE, counting(task_TaskDispatched=2, processor_WorkSucceeded="1+"), times=TOKEN_ATTEMPTS),
    *each(
        "task",
        TASK_DELETE,
        counting(task_TaskDispatched=1, processor_WorkSucceeded=1),
        times=TOKEN_ATTEMPTS,
        besides=(INVOKE.meets("5xx"),),
    ),
    Fault(
        "task Invoke: answer lost",
        Expected(metrics=metrics(processor_WorkSucceeded=1)),
        aws=(INVOKE.meets("answer lost"),),
    ),
    Fault(
        "task PutItem: answer lost",
        Expected(metrics=metrics(processor_WorkSucceeded=1)),
        aws=(TASK_PUT.meets("answer lost"),),
    ),
]

_RETRIED = counting(processor_WorkFailed=1, processor_WorkSucceeded=1)
_BUILT_AGAIN = Expected(metrics=metrics(processor_WorkFailed=1, processor_WorkSucceeded=1))
_CRASHED_AND_REUSED = counting(processor_WorkSucceeded=1, crash_CrashReported=1, processor_WorkReused=1)
PROCESSOR = [
    *each(
        "processor", HEARTBEAT, counting(processor_HeartbeatLost=1, processor_WorkSucceeded=1), kinds=ALL_KINDS, times=1
    ),
    *each("processor", PROCESSOR_PUT, _RETRIED, kinds=ALL_KINDS, times=TOKEN_ATTEMPTS),
    *each("processor", CREDENTIAL, _RETRIED, kinds=ALL_KINDS, cold=("processor",)),
    *each("processor", FIND_WORK, _RETRIED),
    *[
        Fault(row.name.replace("UpdateItem", f"UpdateItem ({step})"), row.expected, aws=row.aws)
        for step, call, expected in (
            ("take the work", TAKE_WORK, _RETRIED),
            ("about to write", WRITE_WORK, _RETRIED),
            ("store the result", DECIDE_WORK, _RETRIED),
            ("the result is shown", END_WORK, counting(processor_WorkFailed=1, processor_WorkReused=1)),
        )
        for row in each("processor", call, expected)
    ],
    Fault(
        "processor UpdateItem (take the work): answer lost",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        aws=(TAKE_WORK.meets("answer lost"),),
    ),
    Fault(
        "processor UpdateItem (the result is shown): answer lost",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        aws=(END_WORK.meets("answer lost"),),
    ),
    *each("processor", READ_BUNDLE, _BUILT_AGAIN, action="build"),
    Fault(
        "processor GetObject: denied",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        action="build",
        aws=(READ_BUNDLE.meets("denied"),),
    ),
    *each("processor", STORE_BUNDLE, _BUILT_AGAIN, kinds=ALL_KINDS, action="build"),
    *[
        Fault(f"{row.name} (the manifest)", row.expected, action="build", aws=row.aws)
        for row in each("processor", STORE_MANIFEST, _BUILT_AGAIN)
    ],
    Fault("processor PutObject: answer lost", action="build", aws=(STORE_BUNDLE.meets("answer lost"),)),
    *each(
        "processor",
        HEAD_BUNDLE,
        Expected(metrics=metrics(processor_WorkFailed=2, processor_WorkSucceeded=1)),
        action="build",
        # The bundle is stored, its manifest is not: the next attempt finds the bundle's key taken.
        besides=(STORE_MANIFEST.meets("5xx"),),
    ),
    *each("processor", PROCESSOR_SAVE, counting(processor_WorkReused=1), times=TOKEN_ATTEMPTS),
    *each(
        "processor",
        PROCESSOR_DELETE,
        counting(processor_WorkFailed=1, processor_WorkSucceeded=1),
        times=TOKEN_ATTEMPTS,
        github=({"path": r"/pulls/\d+$", "status": 429, "times": 1},),
    ),
    *each("processor", SUCCESS, _CRASHED_AND_REUSED, kinds=ALL_KINDS),
    Fault(
        "processor SendTaskSuccess: answer lost",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        aws=(SUCCESS.meets("answer lost"),),
    ),
    *each(
        "processor",
        FAILURE,
        counting(processor_WorkFailed=1, crash_CrashReported=1, processor_WorkSucceeded=1),
        kinds=ALL_KINDS,
        github=({"path": r"/pulls/\d+$", "status": 429, "times": 1},),
    ),
    Fault(
        "processor PutItem: answer lost",
        Expected(metrics=metrics(processor_WorkFailed=1, processor_WorkSucceeded=1)),
        aws=(PROCESSOR_PUT.meets("answer lost"),),
    ),
]

CRASH = [
    *each(
        "crash",
        CRASHED,
        counting(crash_MessageReturned=1, crash_CrashReported=1, processor_WorkReused=1),
        kinds=ALL_KINDS,
        besides=(SUCCESS.meets("5xx"),),
        impatient=("crash",),
    ),
    *each(
        "crash",
        QUARANTINE,
        Expected(
            quarantined=("not JSON",),
            metrics=metrics(crash_MessageReturned=1, crash_MessageQuarantined=1),
        ),
        impatient=("crash",),
        scene=scenes.one_poison("crash"),
    ),
]

CLOSING = [
    *each(
        "closing",
        FIND_WORK,
        Expected(
            executions=FAILS_AND_IS_REPLAYED.executions,
            statuses=FAILS_AND_IS_REPLAYED.statuses,
            metrics=metrics(closing_MessageReturned=1, closing_StatusClosed=1, replay_ReplayStarted=1),
        ),
        github=(GITHUB_REFUSES,),
        impatient=("ended",),
        scene=scenes.paused("closing"),
    ),
    *each(
        "closing",
        CLOSE_WORK,
        Expected(
            executions=FAILS_AND_IS_REPLAYED.executions,
            statuses=FAILS_AND_IS_REPLAYED.statuses,
            metrics=metrics(closing_MessageReturned=1, closing_StatusClosed=1, replay_ReplayStarted=1),
        ),
        github=(GITHUB_REFUSES,),
        impatient=("ended",),
    ),
    *each(
        "closing",
        CREDENTIAL,
        Expected(
            executions=FAILS_AND_IS_REPLAYED.executions,
            statuses=FAILS_AND_IS_REPLAYED.statuses,
            metrics=metrics(closing_MessageReturned=1, closing_StatusClosed=1),
        ),
        github=(GITHUB_REFUSES,),
        impatient=("ended",),
        cold=("closing",),
        scene=scenes.paused("closing"),
    ),
    *each(
        "closing",
        QUARANTINE,
        Expected(
            quarantined=("not JSON",),
            metrics=metrics(closing_MessageReturned=1, closing_MessageQuarantined=1),
        ),
        impatient=("ended",),
        scene=scenes.one_poison("ended"),
    ),
]

_REPLAYED_LATE = Expected(
    answers=("202 queued",), metrics=metrics(replay_MessageReturned=1, replay_ReplayStarted=1, task_TaskDispatched=1)
)
REPLAY = [
    *[
        Fault(
            f"replay StartExecution: {kind}, as for the webhook before",
            _REPLAYED_LATE,
            aws=(
                START.meets("throttled", WEBHOOK_ATTEMPTS),
                START.meets(kind, 1 if kind == "denied" else SDK_ATTEMPTS),
            ),
            impatient=("replay",),
        )
        for kind in ALL_KINDS
    ],
    Fault(
        "replay StartExecution: answer lost",
        Expected(
            executions=FAILS_AND_IS_REPLAYED.executions,
            statuses=FAILS_AND_IS_REPLAYED.statuses,
            metrics=metrics(replay_MessageReturned=0, task_TaskDispatched=2),
        ),
        aws=(START_AGAIN.meets("answer lost"),),
        github=(GITHUB_REFUSES,),
        scene=scenes.replayed,
    ),
    *[
        Fault(
            f"replay DescribeExecution: {kind}",
            Expected(
                executions=FAILS_AND_IS_REPLAYED.executions,
                statuses=FAILS_AND_IS_REPLAYED.statuses,
                metrics=metrics(replay_MessageReturned=returned, replay_ReplayStarted=1),
            ),
            aws=(DESCRIBE.meets(kind, times),),
            github=(GITHUB_REFUSES,),
            impatient=("replay",) if returned else (),
            scene=scenes.replayed,
        )
        # First it asks for the trace, which it does without, and then how the execution of this name ended.
        for kind in KINDS
        for times, returned in [(SDK_ATTEMPTS, 0) if kind == "timeout" else (2 * SDK_ATTEMPTS, 1)]
    ],
    *each(
        "replay",
        QUARANTINE,
        Expected(
            quarantined=("not JSON",),
            metrics=metrics(replay_MessageReturned=1, replay_MessageQuarantined=1),
        ),
        impatient=("replay",),
        scene=scenes.one_poison("replay"),
    ),
]

_SWEPT_UP = Expected(answers=("503 at the hook", "202 by redelivery"))
SWEEPER = [
    Fault(
        "the webhook was down, and its sweeper asks again",
        _SWEPT_UP,
        scene=scenes.swept,
        aws=(WEBHOOK_SECRET.is_down(),),
        cold=("webhook",),
    ),
    Fault(
        "the webhook was down, the repository was renamed, and its sweeper asks again",
        replace(_SWEPT_UP, metrics=metrics(sweeper_GitHubRedirected="2+", sweeper_SweepRedeliveryRequested=1)),
        scene=scenes.swept_after_a_rename,
        aws=(WEBHOOK_SECRET.is_down(),),
        cold=("webhook",),
    ),
    *each(
        "sweeper",
        SWEEP_UPDATE,
        _SWEPT_UP,
        besides=(WEBHOOK_SECRET.is_down(),),
        cold=("webhook",),
        scene=scenes.swept,
    ),
    *each(
        "sweeper",
        SWEEP_GET,
        _SWEPT_UP,
        besides=(WEBHOOK_SECRET.is_down(),),
        cold=("webhook",),
        scene=scenes.swept,
    ),
    *each(
        "sweeper",
        CREDENTIAL,
        _SWEPT_UP,
        besides=(WEBHOOK_SECRET.is_down(),),
        cold=("webhook", "sweeper"),
        scene=scenes.swept,
    ),
]

# ---------------------------------------------------------------------------------------------------------------------
# Outages
# ---------------------------------------------------------------------------------------------------------------------
_EVERY_TABLE_CALL = tuple(
    Call("dynamodb", operation) for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")
)
_FOUND = replace(
    FAILS_AND_IS_REPLAYED,
    metrics=metrics(watch_ExecutionReconciled=1, closing_StatusClosed=1, replay_ReplayStarted=1),
)
LOST_EVENTS = [
    Fault(
        "EventBridge loses the event of an execution that failed before its work began",
        _FOUND,
        github=(GITHUB_REFUSES,),
        scene=scenes.event_lost,
    ),
    *[
        row
        for call in (
            Call("stepfunctions", "ListExecutions"),
            Call("cloudformation", "DescribeStacks"),
            Call("dynamodb", "BatchGetItem"),
            Call("dynamodb", "UpdateItem", "starts_with(not_null(Key.id.S, ''), 'ended')"),
            DESCRIBE,
            FIND_WORK,
            Call("sqs", "SendMessage", "contains(QueueUrl, 'DeadWorkQueue')"),
        )
        for row in each("watch", call, _FOUND, github=(GITHUB_REFUSES,), scene=scenes.event_lost)
    ],
    # The dead work is there twice then, and replayed once.
    *each(
        "watch to the closing function",
        Call("sqs", "SendMessage", "contains(QueueUrl, 'EndedExecutionsQueue')"),
        _FOUND,
        github=(GITHUB_REFUSES,),
        scene=scenes.event_lost,
    ),
    *[
        Fault(
            f"EventBridge loses the event of an execution that failed in its work: {action}",
            Expected(
                executions=("FAILED GitHubRefused", "SUCCEEDED success"),
                statuses=("pending", "error", "pending", "success"),
                metrics=metrics(watch_ExecutionReconciled=1, closing_StatusClosed=1, replay_ReplayStarted=1),
            ),
            action=action,
            github=({"path": path, "status": 403, "times": 1},),
            scene=scenes.event_lost,
        )
        for action, path in (("synchronize", r"/pulls/\d+/files"), ("build", "/tarball/"))
    ],
]

OUTAGES = [
    Fault(
        "the idempotency table is down for a moment",
        counting(task_TaskDispatched="1+", processor_WorkSucceeded=1),
        aws=(_EVERY_TABLE_CALL[1].meets("5xx", 3 * TOKEN_ATTEMPTS),),
    ),
    Fault(
        "the idempotency table is down",
        Expected(
            executions=("FAILED IdempotencyPersistenceLayerError", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(closing_StatusClosed=1),
        ),
        aws=({"service": "dynamodb", "error": {"code": "InternalServerError", "status": 500}},),
        impatient=("ended",),
    ),
    Fault(
        "Step Functions takes no callback and no heartbeat for a while",
        counting(crash_CrashReported=1, processor_WorkReused=1),
        aws=(SUCCESS.meets("5xx"), CRASHED.meets("5xx", 2 * SDK_ATTEMPTS), HEARTBEAT.meets("5xx", 1)),
        impatient=("crash",),
    ),
    Fault(
        "Secrets Manager is down for the processor until it gives up",
        Expected(
            executions=("FAILED CredentialUnavailable", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(processor_WorkFailed=5, closing_StatusClosed=1),
        ),
        aws=(CREDENTIAL.is_down(),),
        cold=("processor", "closing"),
        impatient=("ended",),
    ),
    Fault(
        "the bucket is down until the processor gives up",
        Expected(
            executions=("FAILED ArtifactStoreUnavailable", "SUCCEEDED success"),
            statuses=("pending", "error", "pending", "success"),
            metrics=metrics(processor_WorkFailed=5, closing_StatusClosed=1),
        ),
        action="build",
        aws=(STORE_BUNDLE.is_down(),),
    ),
]

SECRETS = [
    Fault(
        "the webhook's secret is missing",
        Expected(answers=("503 unavailable", "202 started"), metrics=metrics(webhook_DeliveryUnavailable=1)),
        aws=(WEBHOOK_SECRET.refuses("ResourceNotFoundException", 1),),
        cold=("webhook",),
    ),
    Fault(
        "the webhook's secret is rotated",
        Expected(
            answers=("202 started", "202 started", "202 started"),
            executions=("SUCCEEDED success",) * 3,
            metrics=metrics(webhook_SecretRefreshed=1, processor_WorkReused=2, webhook_SignatureInvalid=0),
        ),
        cold=("webhook",),
        scene=scenes.secret_rotated,
    ),
    Fault(
        "a forged signature",
        Expected(answers=("401 unauthorized", "202 started"), metrics=metrics(webhook_SignatureInvalid=1)),
        scene=scenes.forged,
    ),
    Fault(
        "the GitHub credential is missing",
        Expected(
            executions=("FAILED CredentialUnavailable", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
        ),
        aws=(CREDENTIAL.refuses("ResourceNotFoundException", 5),),
        cold=("processor",),
    ),
    Fault(
        "the GitHub credential is garbage",
        Expected(
            executions=("FAILED CredentialInvalid", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(processor_WorkFailed=1, closing_MessageReturned="1+", closing_StatusClosed=1),
        ),
        cold=("processor", "closing"),
        impatient=("ended",),
        scene=scenes.credential("two words, no token"),
    ),
    Fault(
        "the GitHub credential is rotated away",
        Expected(
            executions=("FAILED GitHubRefused", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(processor_WorkFailed=1, closing_MessageReturned="1+", closing_StatusClosed=1),
        ),
        cold=("processor", "closing"),
        impatient=("ended",),
        scene=scenes.credential("ghp_" + "0" * 36),
    ),
]

# ---------------------------------------------------------------------------------------------------------------------
# Deaths
# ---------------------------------------------------------------------------------------------------------------------
_CRASHED_ONCE = counting(crash_CrashReported=1, processor_WorkSucceeded=1)
DEATHS = [
    Fault(
        "webhook killed before StartExecution",
        # The embedded AWS' API Gateway does not know the template's answer to a function that died, which is 503.
        Expected(answers=("502 None", "202 started")),
        aws=(START.meets("held"),),
        scene=scenes.killed_at_call("webhook"),
    ),
    Fault(
        "webhook killed after StartExecution",
        Expected(answers=("502 None", "200 duplicate"), metrics=metrics(task_TaskDispatched=1)),
        aws=(START.meets("answered late"),),
        scene=scenes.killed_at_call("webhook"),
    ),
    Fault(
        "task killed before work",
        counting(task_TaskDispatched=1),
        aws=(TASK_PUT.meets("held"),),
        scene=scenes.killed_at_call("task"),
    ),
    Fault(
        "task killed before Invoke",
        counting(task_TaskDispatched=1),
        aws=(INVOKE.meets("held"),),
        scene=scenes.killed_at_call("task"),
    ),
    Fault(
        "task killed between Invoke and save",
        Expected(),
        aws=(TASK_SAVE.meets("held"),),
        scene=scenes.killed_at_call("task"),
    ),
    Fault(
        "processor killed before work",
        _CRASHED_ONCE,
        aws=(HEARTBEAT.meets("held"),),
        scene=scenes.killed_at_call("processor"),
    ),
    Fault(
        "processor killed in each of its three attempts",
        Expected(
            executions=("FAILED ProcessorCrashed", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(crash_CrashReported=3, closing_StatusClosed=1, replay_ReplayStarted=1),
        ),
        aws=(HEARTBEAT.meets("held", 3),),
        scene=scenes.killed_three_times,
    ),
    Fault(
        "processor killed in work, reading the changes",
        _CRASHED_ONCE,
        github=({"path": r"/pulls/\d+/files", "delay": 6, "times": 1},),
        scene=scenes.killed_in_work,
    ),
    Fault(
        "processor killed in work, reading the archive",
        _CRASHED_ONCE,
        action="build",
        github=({"path": "/tarball/", "delay": 6, "times": 1},),
        scene=scenes.killed_in_work,
    ),
    Fault(
        "processor killed between bundle and manifest",
        _CRASHED_ONCE,
        action="build",
        aws=(STORE_MANIFEST.meets("held"),),
        scene=scenes.killed_at_call("processor"),
    ),
    Fault(
        "processor killed while it shows the pending status",
        counting(crash_CrashReported=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        github=({"method": "POST", "path": "/statuses/", "delay": 6, "times": 1},),
        scene=scenes.killed_in_write,
        within=90,
    ),
    Fault(
        "processor killed before its result is stored",
        _CRASHED_ONCE,
        aws=(DECIDE_WORK.meets("held"),),
        scene=scenes.killed_at_call("processor"),
    ),
    Fault(
        "processor killed after its result was shown, before the record says so",
        counting(crash_CrashReported=1, processor_WorkDeferred="1+"),
        aws=(END_WORK.meets("held"),),
        scene=scenes.killed_at_call("processor"),
        within=90,
    ),
    Fault(
        "processor killed between work and save",
        counting(crash_CrashReported=1, processor_WorkReused=1),
        aws=(PROCESSOR_SAVE.meets("held"),),
        scene=scenes.killed_at_call("processor"),
    ),
    Fault(
        "processor killed between save and callback",
        counting(crash_CrashReported=1, processor_WorkReused=1),
        aws=(SUCCESS.meets("held"),),
        scene=scenes.killed_at_call("processor"),
    ),
    Fault(
        "processor killed after its callback",
        counting(crash_CallbackRefused=1, crash_CrashReported=0),
        aws=(SUCCESS.meets("answered late"),),
        scene=scenes.killed_at_call("processor"),
        lasts_until="quiet",
    ),
    Fault(
        "processor cannot be imported",
        Expected(
            executions=("FAILED ProcessorCrashed", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(crash_CrashReported=3),
        ),
        scene=scenes.with_version("processor", Handler="processor.nowhere.lambda_handler"),
    ),
    Fault(
        "processor's time is nearly up",
        Expected(
            executions=("FAILED DeadlineExceeded", "SUCCEEDED success"),
            statuses=("pending", "error", "pending", "success"),
            metrics=metrics(closing_StatusClosed=1, crash_CrashReported=0),
        ),
        github=({"path": r"/pulls/\d+/files", "delay": 6, "times": 1},),
        scene=scenes.with_version("processor", Timeout=23),
    ),
    Fault(
        "processor's time is up",
        Expected(
            executions=("FAILED ProcessorCrashed", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(crash_CrashReported=3),
        ),
        # Shorter than one heartbeat, so that Lambda ends it before it can say anything.
        aws=(HEARTBEAT.meets("timeout", 3),),
        scene=scenes.with_version("processor", Timeout=1),
    ),
    Fault(
        "crash killed before it could tell",
        counting(crash_CrashReported=1, processor_WorkReused=1),
        aws=(SUCCESS.meets("5xx"), CRASHED.meets("held")),
        impatient=("crash",),
        scene=scenes.killed_at_call("crash"),
    ),
    Fault(
        "closing killed before it could close",
        Expected(
            executions=FAILS_AND_IS_REPLAYED.executions,
            statuses=FAILS_AND_IS_REPLAYED.statuses,
            metrics=metrics(closing_StatusClosed=1),
        ),
        aws=(FIND_WORK.meets("held"),),
        github=(GITHUB_REFUSES,),
        impatient=("ended",),
        scene=scenes.killed_at_message("closing"),
    ),
    Fault(
        "replay killed before it could start",
        Expected(answers=("202 queued",), metrics=metrics(replay_ReplayStarted=1)),
        aws=(START.meets("5xx", WEBHOOK_ATTEMPTS), START.meets("held")),
        impatient=("replay",),
        scene=scenes.killed_at_call("replay"),
    ),
]

# ---------------------------------------------------------------------------------------------------------------------
# Twice, late, out of order
# ---------------------------------------------------------------------------------------------------------------------
ORDER = [
    Fault(
        "the same delivery twice at once",
        Expected(answers=("202 started", "200 duplicate"), metrics=metrics(processor_WorkSucceeded=1)),
        scene=scenes.same_delivery_twice_at_once,
    ),
    Fault(
        "the same delivery again, when it is done",
        Expected(answers=("202 started", "200 duplicate"), metrics=metrics(processor_WorkSucceeded=1)),
        scene=scenes.delivered_again,
    ),
    Fault(
        "two deliveries of one event at once, report",
        Expected(
            answers=("202 started",) * 2,
            executions=("SUCCEEDED success",) * 2,
            metrics=metrics(processor_WorkSucceeded=1, processor_WorkReused=1),
        ),
        github=_SLOW_FILES,
        scene=scenes.two_hooks,
    ),
    Fault(
        "two deliveries of one event at once, bundle",
        Expected(
            answers=("202 started",) * 2,
            executions=("SUCCEEDED success",) * 2,
            metrics=metrics(processor_WorkSucceeded=1, processor_WorkReused=1),
        ),
        action="build",
        github=({"path": "/tarball/", "delay": 2.5, "times": 1},),
        scene=scenes.two_hooks,
    ),
    Fault(
        "two deliveries of one event, and the processor that does the work is killed",
        Expected(
            answers=("202 started",) * 2,
            executions=("SUCCEEDED success",) * 2,
            metrics=metrics(processor_WorkSucceeded=1, processor_WorkReused=1, crash_CrashReported="1+"),
        ),
        github=({"path": r"/pulls/\d+/files", "delay": 6, "times": 1},),
        scene=scenes.holder_killed_with_two_hooks,
    ),
    Fault(
        "work that takes longer than its lease, and a second delivery",
        Expected(
            answers=("202 started",) * 2,
            executions=("SUCCEEDED success",) * 2,
            metrics=metrics(processor_WorkSucceeded=1, processor_WorkReused=1, processor_WorkDeferred="1+"),
        ),
        # Not answered in time, twice: some twenty seconds of work, so that the second one comes while it is done.
        github=({"path": r"/pulls/\d+/files", "delay": 11, "times": 2},),
        within=90,
        scene=scenes.lease_outlived,
    ),
    Fault(
        "the delivery of an older commit after that of a newer one",
        Expected(
            answers=("202 started",) * 2,
            executions=("SUCCEEDED success", "SUCCEEDED cancelled"),
            metrics=metrics(processor_WorkSucceeded=2),
        ),
        scene=scenes.older_after_newer,
    ),
    Fault(
        "a push while the work is done",
        Expected(executions=("SUCCEEDED cancelled",), statuses=("pending", "error")),
        github=_SLOW_FILES,
        scene=scenes.pushed_while_working,
    ),
    Fault(
        "an attempt that was given up is alive",
        counting(processor_WorkSucceeded=1, processor_WorkDeferred=1, processor_CallbackRefused=1),
        github=({"path": r"/pulls/\d+/files", "delay": 5, "times": 1},),
        scene=scenes.given_up_alive,
    ),
    Fault(
        "the execution is aborted while its processor works",
        Expected(
            executions=("ABORTED", "SUCCEEDED success"),
            statuses=("pending", "error", "pending", "success"),
            metrics=metrics(closing_StatusClosed=1, processor_CallbackRefused=1),
        ),
        github=({"path": r"/pulls/\d+/files", "delay": 5, "times": 1},),
        scene=scenes.aborted_alive,
    ),
    Fault(
        "Lambda delivers the processor's event again, when it is done",
        counting(processor_WorkSucceeded=1, processor_CallbackRefused=1),
        scene=scenes.dispatched_twice,
    ),
    Fault(
        "Lambda delivers the processor's event twice at once",
        counting(processor_WorkSucceeded=1, processor_IdempotencyInProgress=1),
        github=_SLOW_FILES,
        scene=scenes.dispatched_twice_at_once,
    ),
    Fault(
        "the task function is invoked twice with one token",
        counting(task_TaskDispatched=1, processor_WorkSucceeded=1),
        github=_SLOW_FILES,
        scene=scenes.tasked_twice,
    ),
    Fault(
        "what runs is replayed",
        counting(replay_ReplayRefused=2, processor_WorkSucceeded=1),
        github=_SLOW_FILES,
        scene=scenes.replayed_while_running,
        lasts_until="quiet",
    ),
]

_INVALID = "a field is missing or not valid: requestPayload.delivery_id: missing"


def poison(queue: Queue, counted: Mapping[str, int | str], expected: Expected, **row: Any) -> Fault:
    """A row with poison beside a good message: what becomes of the good one, and what its consumer counts."""
    quarantined = ("not JSON", _INVALID, "an event of another kind")
    return Fault(
        f"poison in the {queue} queue, beside a good message",
        replace(expected, quarantined=quarantined, metrics=counted),
        scene=scenes.poisoned(queue),
        **row,
    )


POISON = [
    poison(
        "crash", metrics(crash_MessageQuarantined=3, crash_CrashReported=1), Expected(), aws=(SUCCESS.meets("5xx"),)
    ),
    poison(
        "ended",
        metrics(closing_MessageQuarantined=3, closing_StatusClosed=1),
        FAILS_AND_IS_REPLAYED,
        github=(GITHUB_REFUSES,),
    ),
    poison(
        "replay",
        metrics(replay_MessageQuarantined=3, replay_ReplayStarted=1),
        Expected(answers=("202 queued",)),
        aws=(START.meets("5xx", WEBHOOK_ATTEMPTS),),
    ),
]

# ---------------------------------------------------------------------------------------------------------------------
# GitHub
# ---------------------------------------------------------------------------------------------------------------------
_READ = {"path": r"/pulls/\d+$"}
_WRITE = {"method": "POST", "path": "/statuses/"}
_PASS = {**_WRITE, "times": 1}
"""A fault that is none, for the first of two writes."""
_REFUSED = Expected(
    executions=("FAILED GitHubRefused", "SUCCEEDED success"),
    statuses=("error", "pending", "success"),
    metrics=metrics(processor_WorkFailed=1, closing_StatusClosed=1, replay_ReplayStarted=1),
)
GITHUB = [
    *[
        Fault(f"GitHub answers {status} to a read", _REFUSED, github=({**_READ, "status": status, "times": 1},))
        for status in (403, 409, 422, 451)
    ],
    *[
        Fault(
            f"GitHub answers {status} to the pending status",
            _REFUSED,
            github=({**_WRITE, "status": status, "times": 1},),
        )
        for status in (403, 409, 422, 451)
    ],
    *[
        Fault(
            f"GitHub answers {status} to the result's status",
            Expected(
                executions=("FAILED GitHubRefused", "SUCCEEDED success"),
                # The work was done: closing shows its result, and the replay finds it shown.
                statuses=("pending", "success"),
                metrics=metrics(processor_WorkFailed=1, closing_StatusClosed=1, processor_WorkReused=1),
            ),
            github=(_PASS, {**_WRITE, "status": status, "times": 1}),
        )
        for status in (403, 422)
    ],
    *[
        Fault(
            f"GitHub answers 401 to {what}, and again to a fresh credential",
            _REFUSED,
            github=({**call, "status": 401, "times": 2},),
        )
        for what, call in (("a read", _READ), ("the pending status", _WRITE))
    ],
    Fault(
        "GitHub answers 410 to everything until the status was to be closed",
        Expected(
            executions=("FAILED GitHubRefused", "SUCCEEDED success"),
            metrics=metrics(closing_MessageQuarantined=1),
            quarantined=("GitHub refuses the status: GET /repos/{owner}/{repo}/statuses/{sha}: 410",),
        ),
        github=({"status": 410},),
        lasts_until="quiet",
    ),
    Fault(
        "GitHub answers 429 with Retry-After to a read",
        _RETRIED,
        github=({"kind": "secondary_rate_limit", "seconds": 3600, "times": 1, **_READ},),
    ),
    Fault(
        "GitHub answers 429 with Retry-After to a status",
        _RETRIED,
        github=({"kind": "secondary_rate_limit", "seconds": 3600, "times": 1, **_WRITE},),
    ),
    Fault(
        "GitHub's hourly limit is used up",
        _RETRIED,
        github=({"kind": "rate_limit", "seconds": 3600, "times": 1, **_READ},),
    ),
    *[
        Fault(
            f"GitHub answers {status} to a read, once",
            counting(processor_WorkFailed=0, processor_WorkSucceeded=1),
            github=({**_READ, "status": status, "times": 1},),
        )
        for status in (500, 502, 503)
    ],
    Fault("GitHub answers 502 to each read of an attempt", _RETRIED, github=({**_READ, "status": 502, "times": 3},)),
    Fault(
        "GitHub answers 502 to the archive",
        _RETRIED,
        action="build",
        github=({"path": "/tarball/", "status": 502, "times": 3},),
    ),
    Fault(
        "GitHub answers 503 until the processor gives up",
        Expected(
            executions=("FAILED GitHubUnavailable", "SUCCEEDED success"),
            statuses=("error", "pending", "success"),
            metrics=metrics(processor_WorkFailed=5, closing_StatusClosed=1),
        ),
        github=({**_READ, "status": 503},),
        impatient=("ended",),
    ),
    Fault(
        "GitHub answers 502 to the pending status",
        counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        github=({**_WRITE, "status": 502, "times": 1},),
        within=90,
    ),
    Fault(
        "GitHub takes the pending status and cuts its answer",
        counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        github=({**_WRITE, "cut": True, "times": 1},),
        within=90,
    ),
    Fault(
        "GitHub takes the result's status and cuts its answer",
        counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkReused=1),
        github=(_PASS, {**_WRITE, "cut": True, "times": 1}),
        within=90,
    ),
    Fault(
        "GitHub takes the pending status and does not answer in time",
        counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        github=({**_WRITE, "delay": 11, "times": 1},),
        within=120,
    ),
    Fault("GitHub cuts the answer to a read", Expected(), github=({**_READ, "cut": True, "times": 1},)),
    Fault(
        "GitHub cuts the list of files", Expected(), github=({"path": r"/pulls/\d+/files", "cut": True, "times": 1},)
    ),
    Fault(
        "GitHub cuts the archive",
        Expected(),
        action="build",
        github=({"path": "/_codeload/", "cut": True, "times": 1},),
    ),
    Fault(
        "GitHub is slow with a read",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        github=({**_READ, "delay": 4, "times": 1},),
    ),
    Fault(
        "GitHub does not answer a read in time",
        counting(processor_WorkSucceeded=1, processor_WorkFailed=0),
        github=({**_READ, "delay": 11, "times": 1},),
    ),
]

ROWS: tuple[Fault, ...] = tuple(
    WEBHOOK
    + TASK
    + PROCESSOR
    + CRASH
    + CLOSING
    + REPLAY
    + SWEEPER
    + LOST_EVENTS
    + OUTAGES
    + SECRETS
    + DEATHS
    + ORDER
    + POISON
    + GITHUB
    + ORDINARY_DAY
    + CHECK_RUNS
)
