"""The embedded AWS: ministack on loopback, with IAM enforced, an X-Ray daemon beside it, and what it lacks put right.

    python -m local.engine --port-file FILE --traces FILE [--fault-proxy URL --tokens FILE] [--clock FILE]
                           [--exit-with-parent]

Everything that changes ministack's behaviour is in this file and, for CloudWatch, in local/cloudwatch/mend.py. Each
change names its reason; tests/infrastructure/local/test_engine_gaps.py fails when ministack gets it right by itself, so
that the change can go. Written against ministack 1.5.33."""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import json
import os
import re
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.process import announce_port, exit_with_parent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

WORKERS_PER_FUNCTION = 3
HEARTBEAT_CHECK_SECONDS = 0.5

_trace_header: contextvars.ContextVar[str | None] = contextvars.ContextVar("trace_header", default=None)


def trace_middleware(app: Callable[..., Awaitable[None]], daemon: tuple[str, int]) -> Callable[..., Awaitable[None]]:
    """Keeps the X-Amzn-Trace-Id of each request, and plays API Gateway's part of a trace.

    Reason: ministack starts a new trace with each invocation. ministack copies contexts into its threads, so what is
    kept here reaches the invocations that a request causes. A REST API with tracing begins the trace and sends a
    segment of its own, which is what the webhook's segments hang from.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def traced(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"x-amzn-trace-id", b"").decode("latin-1") or None
        if not scope["path"].startswith("/restapis/") or "/_user_request_" not in scope["path"]:
            _trace_header.set(header)
            await app(scope, receive, send)
            return
        started = time.time()
        root = _field(header, "Root") or f"1-{int(started):08x}-{secrets.token_hex(12)}"
        segment_id = secrets.token_hex(8)
        _trace_header.set(f"Root={root};Parent={segment_id};Sampled=1")
        status = 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await app(scope, receive, watched)
        finally:
            segment = {
                "name": "api gateway",
                "id": segment_id,
                "trace_id": root,
                "parent_id": _field(header, "Parent"),
                "origin": "AWS::ApiGateway::Stage",
                "start_time": started,
                "end_time": time.time(),
                "http": {"request": {"method": scope["method"]}, "response": {"status": status}},
            }
            document = json.dumps({key: value for key, value in segment.items() if value is not None})
            udp.sendto(b'{"format": "json", "version": 1}\n' + document.encode(), daemon)

    return traced


def _field(header: str | None, name: str) -> str | None:
    fields = dict(part.split("=", 1) for part in (header or "").split(";") if "=" in part)
    return fields.get(name)


def join_traces(lambda_service: Any) -> None:
    """Gives an invocation the trace of the request that caused it. Reason: as above."""
    fresh = lambda_service._xray_trace_id_for_invocation  # noqa: SLF001

    def continued(config: dict[str, Any], inbound_trace_header: str | None = None) -> str | None:
        header: str | None = fresh(config, inbound_trace_header or _trace_header.get())
        return header

    lambda_service._xray_trace_id_for_invocation = continued  # noqa: SLF001


def bound_workers(lambda_service: Any) -> None:
    """Lends at most WORKERS_PER_FUNCTION workers a function and lets further invocations wait for one.

    Reason: ministack starts a process for each concurrent invocation (a second or two of CPU, 80 MB), which a burst of
    deliveries turns into a machine that does nothing else. Nothing here invokes itself, so waiting cannot deadlock.
    """
    acquire, release = lambda_service.acquire_worker, lambda_service.release_worker
    slots: dict[str, threading.BoundedSemaphore] = {}
    guard = threading.Lock()
    held = threading.local()

    def acquire_bounded(name: str, *args: Any, **kwargs: Any) -> Any:
        with guard:
            slot = slots.setdefault(name, threading.BoundedSemaphore(WORKERS_PER_FUNCTION))
        slot.acquire()
        held.slot = slot
        try:
            return acquire(name, *args, **kwargs)
        except BaseException:
            slot.release()
            raise

    def release_bounded(worker: Any) -> None:
        # Always called by the thread that acquired, but without the worker when that was thrown away.
        release(worker)
        held.slot.release()

    lambda_service.acquire_worker, lambda_service.release_worker = acquire_bounded, release_bounded


def honour_alias_event_config(lambda_service: Any) -> None:
    """Uses the alias' EventInvokeConfig for asynchronous invocations of the alias.

    Reason: ministack looks at the unqualified function's alone, so two retries and no destination would apply here.
    """
    invoke = lambda_service.invoke_async_with_retry

    def qualified(func: dict[str, Any], event: Any) -> None:
        name, _, qualifier = func["config"]["FunctionArn"].partition(":function:")[2].partition(":")
        if qualifier:
            configs = lambda_service._functions[name].get("event_invoke_configs") or {}  # noqa: SLF001
            func = {**func, "event_invoke_configs": {}, "event_invoke_config": configs.get(qualifier)}
        invoke(func, event)

    lambda_service.invoke_async_with_retry = qualified


def know_the_account(*modules: Any) -> None:
    """Gives conditions of templates the account's id, which they may refer to on AWS.

    The embedded AWS takes ``!Ref AWS::AccountId`` for the name of a parameter there.
    """
    evaluate = modules[0]._evaluate_conditions  # noqa: SLF001

    def with_account(template: Any, params: Any) -> Any:
        return evaluate(template, {**params, "AWS::AccountId": {"Value": "000000000000"}})

    for module in modules:
        module._evaluate_conditions = with_account  # noqa: SLF001


def complete_callback_tasks(stepfunctions: Any) -> None:
    """Gives each attempt of a callback task a token of its own, and fails the task when its function fails.

    Reason: ministack retries with the token of the first attempt, which idempotent functions rightly take for the
    same event; and it drops the error of the function, so that the execution waits for a callback nobody will send.
    """
    wait_for_callback, call_lambda = stepfunctions._invoke_with_callback, stepfunctions._call_lambda  # noqa: SLF001
    tokens = stepfunctions._task_tokens  # noqa: SLF001
    used: set[str] = set()

    def with_own_token(resource: str, input_data: Any, token: str, state: Any) -> Any:
        if token in used:
            fresh = secrets.token_urlsafe(64)
            input_data = json.loads(json.dumps(input_data).replace(json.dumps(token), json.dumps(fresh)))
            token = fresh
        used.add(token)
        return wait_for_callback(resource, input_data, token, state)

    def failing_the_task(function: str, event: Any) -> Any:
        try:
            return call_lambda(function, event)
        except stepfunctions._ExecutionError as error:  # noqa: SLF001
            task = tokens.get(event.get("taskToken")) if isinstance(event, dict) else None
            if task is not None:
                task["error"] = {"Error": error.error, "Cause": error.cause}
                task["event"].set()
            raise

    stepfunctions._invoke_with_callback = with_own_token  # noqa: SLF001
    stepfunctions._call_lambda = failing_the_task  # noqa: SLF001


def end_aborted_tasks(stepfunctions: Any) -> None:
    """Ends the callback task of an execution that is aborted, and makes no further attempt.

    Reason: ministack lets the token of an aborted execution live on, and its attempts go on until one of them fails it
    once more.
    """
    wait_for_callback, tokens = stepfunctions._invoke_with_callback, stepfunctions._task_tokens  # noqa: SLF001
    stop, fail = stepfunctions._stop_execution, stepfunctions._fail_execution  # noqa: SLF001
    executions = stepfunctions._executions  # noqa: SLF001
    waiting: dict[str, str] = {}
    aborted: set[str] = set()

    def unless_aborted(resource: str, input_data: Any, token: str, state: Any) -> Any:
        execution = input_data["Payload"]["execution"]
        if execution in aborted:
            raise stepfunctions._ExecutionError("Aborted", "the execution was aborted")  # noqa: SLF001
        waiting[execution] = token
        try:
            return wait_for_callback(resource, input_data, token, state)
        finally:
            waiting.pop(execution, None)

    def ending_the_task(data: dict[str, Any]) -> Any:
        answer = stop(data)
        execution = executions.get(data.get("executionArn"))
        if execution is not None and execution["status"] == "ABORTED":
            aborted.add(execution["name"])
            task = tokens.pop(waiting.get(execution["name"]), None)
            if task is not None:
                task["event"].set()
        return answer

    def failing_once(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    stepfunctions._invoke_with_callback = unless_aborted  # noqa: SLF001
    stepfunctions._stop_execution = ending_the_task  # noqa: SLF001
    stepfunctions._fail_execution = failing_once  # noqa: SLF001


def name_errors(lambda_service: Any) -> None:
    """Gives a failed invocation the name of the exception that the handler raised, or of the process' death.

    Reason: ministack calls all of them Runtime.HandlerError, which no Retry of the state machine can tell apart. On AWS
    it is the exception's class, and Runtime.ExitError for a process that was killed.
    """
    execute = lambda_service._execute_function_warm  # noqa: SLF001

    def named(func: Any, event: Any, request_id: str) -> Any:
        result = execute(func, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            body["errorType"] = _error_type(body["errorMessage"], result.get("log", ""))
        elif result.get("error") and isinstance(body, dict) and not result.get("log"):
            # It could not be started. On AWS the function's log says why.
            result["log"] = body["errorMessage"]
        return result

    lambda_service._execute_function_warm = named  # noqa: SLF001


def _error_type(message: str, log: str) -> str:
    if message == "Worker process died":
        return "Runtime.ExitError"
    # The traceback is the end of the log; its last part begins with the class, and goes on with the message.
    told = ": " + re.escape(message.split("\n", 1)[0]) if message else ""
    named = re.findall(rf"^(?:\w+\.)*(\w+){told}$", log, re.MULTILINE)
    return named[-1] if named else "Runtime.HandlerError"


def enforce_heartbeats(stepfunctions: Any) -> None:
    """Ends a callback task that is silent for longer than its HeartbeatSeconds, with States.HeartbeatTimeout.

    Reason: ministack ignores HeartbeatSeconds, so that work whose event was lost would end at TimeoutSeconds only.
    """
    wait_for_callback, tokens = stepfunctions._invoke_with_callback, stepfunctions._task_tokens  # noqa: SLF001
    # By token: how long a silence may be, the heartbeat seen last, and since when. Insertion and removal are atomic.
    watched: dict[str, tuple[float, str | None, float]] = {}

    def bounded(resource: str, input_data: Any, token: str, state: Any) -> Any:
        if seconds := state.get("HeartbeatSeconds"):
            watched[token] = (float(seconds), None, time.monotonic())
        try:
            return wait_for_callback(resource, input_data, token, state)
        finally:
            watched.pop(token, None)

    def watch() -> None:
        while True:
            time.sleep(HEARTBEAT_CHECK_SECONDS)
            now = time.monotonic()
            for token, (limit, beat, since) in list(watched.items()):
                task = tokens.get(token)
                if task is None:
                    continue
                if task["heartbeat"] != beat:
                    watched[token] = (limit, task["heartbeat"], now)
                elif now - since > limit and not task["event"].is_set():
                    task["error"] = {"Error": "States.HeartbeatTimeout", "Cause": f"no heartbeat for {limit:g} s"}
                    task["event"].set()

    stepfunctions._invoke_with_callback = bounded  # noqa: SLF001
    threading.Thread(target=watch, name="heartbeats", daemon=True).start()


def record_tokens(stepfunctions: Any, file: Path) -> None:
    """Appends every task token to a file, for who searches the stack for them: the fault drill."""
    wait_for_callback = stepfunctions._invoke_with_callback  # noqa: SLF001
    file.touch(mode=0o600)
    out = file.open("a", buffering=1)

    def recorded(resource: str, input_data: Any, token: str, state: Any) -> Any:
        out.write(token + "\n")
        return wait_for_callback(resource, input_data, token, state)

    stepfunctions._invoke_with_callback = recorded  # noqa: SLF001


def collect_segments(daemon: socket.socket, file: Path) -> None:
    """The X-Ray daemon: appends every segment document that arrives to the file, a line each."""
    with file.open("a", buffering=1) as out:
        while True:
            _, _, document = daemon.recv(256 * 1024).partition(b"\n")
            if document:
                out.write(document.decode().replace("\n", " ") + "\n")


def main() -> None:
    """Runs the engine until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.engine", description="Run the embedded AWS on loopback.")
    parser.add_argument("--port-file", type=Path, required=True, help="written with the port as soon as it answers")
    parser.add_argument("--traces", type=Path, required=True, help="segment documents are appended here")
    parser.add_argument("--fault-proxy", help="the functions reach the embedded AWS through this URL")
    parser.add_argument("--tokens", type=Path, help="every task token is appended here")
    parser.add_argument("--clock", type=Path, help="CloudWatch's time is ahead by the seconds that this file holds")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input is closed")
    options = parser.parse_args()

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    daemon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    daemon.bind(("127.0.0.1", 0))
    daemon_address = daemon.getsockname()
    os.environ.update(
        # What comes through the fault proxy has another host than was signed, and every signature would be wrong: with
        # faults there is no IAM. The end-to-end tests and `make run` have it.
        AUTH="false" if options.fault_proxy else "true",
        CLOUDTRAIL_RECORDING="1",
        GATEWAY_PORT=str(port),
        LAMBDA_EXECUTOR="local",
        # No cap on invocations that wait: it would drop asynchronous events, which Lambda keeps until they are too old.
        # What runs at once is bounded by ``bound_workers``.
        LAMBDA_ACCOUNT_CONCURRENCY="0",
        MINISTACK_HOST="127.0.0.1",
        # Listeners on fixed ports for services that are not used.
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        # Reaches the functions: workers inherit the engine's environment.
        AWS_XRAY_DAEMON_ADDRESS=f"{daemon_address[0]}:{daemon_address[1]}",
    )
    if options.fault_proxy:
        # Reaches the functions in the same way; the engine itself calls nobody.
        os.environ["AWS_ENDPOINT_URL"] = options.fault_proxy
    threading.Thread(target=collect_segments, args=(daemon, options.traces), daemon=True).start()
    if options.exit_with_parent:
        exit_with_parent()
    asyncio.run(serve(listener, daemon_address, options.port_file, options.tokens, options.clock))


async def serve(
    listener: socket.socket,
    daemon: tuple[str, int],
    port_file: Path,
    tokens_file: Path | None = None,
    clock: Path | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT."""
    # Imported here: ministack reads its environment when it is imported.
    import signal

    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.services import cloudwatch, lambda_svc, stepfunctions
    from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

    from local.cloudwatch import mend

    join_traces(lambda_svc)
    bound_workers(lambda_svc)
    honour_alias_event_config(lambda_svc)
    name_errors(lambda_svc)
    know_the_account(changesets, handlers, stacks)
    # Innermost first: what tokens of their own are wrapped around sees these.
    if tokens_file is not None:
        record_tokens(stepfunctions, tokens_file)
    enforce_heartbeats(stepfunctions)
    end_aborted_tasks(stepfunctions)
    complete_callback_tasks(stepfunctions)
    mend.evaluate_alarms(cloudwatch)
    mend.keep_expressions(cloudwatch, provisioners)
    mend.record_no_invocations(lambda_svc)
    if clock is not None:
        mend.move_clock(cloudwatch, clock)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 2
    config.loglevel = os.environ.get("LOG_LEVEL", "INFO")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    # The port accepts from here on; whoever connects earlier than the application is ready waits in the backlog.
    listener.listen()
    announce_port(port_file, listener.getsockname()[1])
    await hypercorn_serve(trace_middleware(app, daemon), config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    main()
