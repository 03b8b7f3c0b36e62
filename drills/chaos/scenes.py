"""What is done in a row. A scene returns when it has done its part; the drill waits, clears, repeats and checks."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drills.chaos.rig import CONSUMED, DrillError
from local.flow import event_file, sample_of
from local.github import deliveries
from local.github.hooks import APP_ID
from local.stack import SWEPT_HOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drills.chaos.model import Function, Queue
    from drills.chaos.trial import Trial

    Scene = Callable[[Trial], None]

UNDER_WAY_SECONDS = 0.5
"""From the pending status to the request that GitHub is slow with: nobody can see one that was not answered yet."""

LEASE_RENEWED_SECONDS = 2.5
"""Two heartbeats of a processor that sends one every second, and some time for the table."""

_LONG_AGO = {"N": "1"}
"""A time in milliseconds since the epoch, as the table has it."""

POISON = ("no JSON at all", '{"requestPayload": {"action": "synchronize"}}', '{"detail-type": "Scheduled Event"}')
"""Messages that no function can do anything with."""


def one_delivery(trial: Trial) -> None:
    """The faults, then a delivery."""
    trial.apply()
    trial.deliver()


def delivered_again(trial: Trial) -> None:
    """A delivery that succeeds; then the faults, and the same delivery again."""
    delivery = trial.deliver()
    trial.until_ended()
    trial.apply()
    trial.deliver(delivery)


def killed_at_call(function: Function) -> Scene:
    """Kills the function while the fault proxy holds the call of the row's last rule."""

    def scene(trial: Trial) -> None:
        trial.apply()
        # In a thread: the webhook is one of those that are killed before they answer.
        thread = threading.Thread(target=trial.deliver)
        thread.start()
        trial.until_fired(len(trial.fault.aws) - 1)
        _kill(trial, function)
        thread.join()

    return scene


def killed_in_work(trial: Trial) -> None:
    """Kills the processor while GitHub is slow with its answer to a read."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    # The write is over when the record says so; then the processor waits for GitHub.
    trial.until(lambda: (trial.record() or {}).get("writing_until") == {"N": "0"}, "the end of the pending status")
    time.sleep(UNDER_WAY_SECONDS)
    _kill(trial, "processor")


def killed_in_write(trial: Trial) -> None:
    """Kills the processor between GitHub's taking of a status and its answer."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    _kill(trial, "processor")


def killed_three_times(trial: Trial) -> None:
    """Kills the processor in each of the attempts that the state machine gives it."""
    trial.apply()
    trial.deliver()
    for number in range(1, 4):
        trial.until_fired(times=number)
        _kill(trial, "processor")


def paused(function: Function) -> Scene:
    """Keeps the function's queue from it until the execution has ended; then the AWS faults, then the queue.

    So the faults meet this function's calls alone, although another one makes the same.
    """

    def scene(trial: Trial) -> None:
        with trial.rig.paused(function):
            trial.apply_to_github()
            trial.deliver()
            trial.until_ended()
            trial.rig.clear()
            for cold in trial.fault.cold:
                trial.rig.kill(cold)
            trial.rig.set_rules(trial.fault.aws)
        trial.until(trial.are_rules_used_up, "the fault")

    return scene


def killed_at_message(function: Function) -> Scene:
    """As ``paused``; then kills the function while the fault proxy holds the call of the first rule."""

    def scene(trial: Trial) -> None:
        paused(function)(trial)
        _kill(trial, function)

    return scene


def replayed(trial: Trial) -> None:
    """An execution that fails; then the faults, and its dead work to the replay queue."""
    trial.apply_to_github()
    trial.deliver()
    trial.until_quiet()
    trial.rig.github.clear_faults()
    (message,) = trial.rig.take_all("dead")
    trial.rig.set_rules(trial.fault.aws)
    trial.rig.put("replay", message["Body"])
    trial.until(trial.are_rules_used_up, "the fault")


def replayed_while_running(trial: Trial) -> None:
    """The job of a running execution in the replay queue, twice: there is nothing to start."""
    trial.apply()
    delivery = trial.deliver()
    job = trial.rig.stepfunctions.describe_execution(executionArn=trial.rig.info.execution_arn(delivery.id))["input"]
    trial.rig.put("replay", job)
    trial.rig.put("replay", job)


def poisoned(queue: Queue) -> Scene:
    """Poison in a queue, beside a message that is good; the delivery that makes the good one is an ordinary one."""

    def scene(trial: Trial) -> None:
        (function,) = (one for one, consumed in CONSUMED.items() if consumed == queue)
        with trial.rig.paused(function):
            trial.apply()
            delivery = trial.new_delivery()
            trial.deliver(delivery)
            if queue == "crash":
                trial.until(lambda: not trial.rig.is_empty("crash"), "the record of the dead processor")
            elif queue == "ended":
                trial.until_ended()
            trial.rig.clear()
            for body in POISON:
                trial.rig.put(queue, body)
        trial.until_quiet()

    return scene


def one_poison(queue: Queue) -> Scene:
    """One poison message in a queue, and an ordinary delivery beside it."""

    def scene(trial: Trial) -> None:
        trial.apply()
        trial.rig.put(queue, POISON[0])
        trial.deliver()
        trial.until(trial.are_rules_used_up, "the fault")

    return scene


def same_delivery_twice_at_once(trial: Trial) -> None:
    """The same GUID, twice at once."""
    trial.apply()
    delivery = trial.new_delivery()
    _at_once(lambda: trial.deliver(delivery), lambda: trial.deliver(delivery))


def two_hooks(trial: Trial) -> None:
    """Two deliveries of one event at once: the App's hook and the repository's both send it, each with a GUID."""
    trial.apply()
    first, second = trial.new_delivery(), trial.new_delivery()
    _at_once(lambda: trial.deliver(first), lambda: trial.deliver(second))


def holder_killed_with_two_hooks(trial: Trial) -> None:
    """Two deliveries of one event; the processor that does the work is killed, and with it the one that waits."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    trial.deliver()
    trial.until(lambda: trial.metrics(("processor",))["processor.WorkDeferred"] > 0, "the second one waits")
    _kill(trial, "processor")


def lease_outlived(trial: Trial) -> None:
    """Work that takes longer than the lease of its claim, and then a second delivery of the same event.

    Nobody waits for minutes here: once the work is under way, its lease is set to have run out, as it would have by
    then if nothing had renewed it. The heartbeats come every second meanwhile, not every half minute.
    """
    rig = trial.rig
    before = rig.functions.get_function_configuration(FunctionName=rig.names["processor"])["Environment"]["Variables"]
    with rig.version("processor", Environment={"Variables": {**before, "HEARTBEAT_INTERVAL_SECONDS": "1"}}):
        trial.apply()
        trial.deliver()
        trial.until_status("pending")
        trial.until(lambda: (trial.record() or {}).get("writing_until") == {"N": "0"}, "the end of the pending status")
        held = _lease_ended(trial)
        # Not waited for in vain: what a lease that was not renewed leads to is seen below.
        rig.wait(lambda: (trial.record() or {}).get("lease_until") != _LONG_AGO, LEASE_RENEWED_SECONDS)
        trial.deliver()
        trial.until(lambda: _is_asked_for_by_both(trial, held), "the second one asks for the work")
        if (trial.record() or {}).get("claim") != held:
            trial.problems.append("the second delivery has taken over work that was being done")
        trial.until_ended()


def _lease_ended(trial: Trial) -> Any:
    """Sets the lease of the work to have run out; who holds it is returned."""
    return trial.rig.dynamodb.update_item(
        TableName=trial.rig.info.idempotency_table,
        Key={"id": {"S": trial.record_key}},
        UpdateExpression="SET lease_until = :past",
        ConditionExpression="phase = :working",
        ExpressionAttributeValues={":past": _LONG_AGO, ":working": {"S": "working"}},
        ReturnValues="ALL_NEW",
    )["Attributes"]["claim"]


def _is_asked_for_by_both(trial: Trial, held: Any) -> bool:
    if trial.metrics(("processor",))["processor.WorkDeferred"] > 0:
        return True
    return bool((trial.record() or {}).get("claim") != held)


def older_after_newer(trial: Trial) -> None:
    """The delivery of a commit arrives after that of the commit that followed it."""
    older = trial.new_delivery()
    trial.push()
    trial.deliver()
    trial.until_ended()
    trial.deliver(older)
    # The older one's comes second in time and is to be told second.
    trial.deliveries.reverse()


def pushed_while_working(trial: Trial) -> None:
    """The head moves on while the work is done."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    trial.push()


def given_up_alive(trial: Trial) -> None:
    """Step Functions gives up an attempt that is alive and slow; the next one overtakes it."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    time.sleep(UNDER_WAY_SECONDS)
    (token,) = trial.tokens()
    trial.rig.stepfunctions.send_task_failure(taskToken=token, error="States.HeartbeatTimeout", cause="{}")
    trial.until_ended()
    # The zombie is still held by GitHub; what it does when it comes back is the point.
    trial.until(
        lambda: trial.metrics(("processor",))["processor.WorkFailed"] > 0 or _refused(trial), "the zombie's end"
    )


def aborted_alive(trial: Trial) -> None:
    """Somebody aborts the execution while its processor works."""
    trial.apply()
    delivery = trial.deliver()
    trial.until_status("pending")
    time.sleep(UNDER_WAY_SECONDS)
    trial.rig.stepfunctions.stop_execution(executionArn=trial.rig.info.execution_arn(delivery.id))
    trial.until_quiet()
    trial.until(lambda: _refused(trial), "the zombie's end")


def _refused(trial: Trial) -> bool:
    return trial.metrics(("processor",))["processor.CallbackRefused"] > 0


def dispatched_twice(trial: Trial) -> None:
    """Lambda delivers the processor's event a second time, after it was done."""
    delivery = trial.deliver()
    trial.until_ended()
    _invoke(trial, "processor", delivery.id)


def dispatched_twice_at_once(trial: Trial) -> None:
    """Lambda delivers the processor's event a second time, while it is being worked on."""
    trial.apply()
    delivery = trial.deliver()
    trial.until_status("pending")
    _invoke(trial, "processor", delivery.id)


def tasked_twice(trial: Trial) -> None:
    """Step Functions' invocation of the task function comes a second time."""
    trial.apply()
    delivery = trial.deliver()
    trial.until_status("pending")
    _invoke(trial, "task", delivery.id)


def _invoke(trial: Trial, function: Function, execution: str) -> None:
    described = trial.rig.stepfunctions.describe_execution(executionArn=trial.rig.info.execution_arn(execution))
    event = {**json.loads(described["input"]), "taskToken": trial.tokens()[-1], "execution": execution}
    answer = trial.rig.functions.invoke(
        FunctionName=trial.rig.names[function], Qualifier="live", Payload=json.dumps(event).encode()
    )
    if answer.get("FunctionError"):
        raise DrillError(f"{function} raised: {answer['Payload'].read().decode()[:200]}")


def event_lost(trial: Trial) -> None:
    """EventBridge loses the event of the execution; then the watch runs, as it would run five minutes later."""
    rig = trial.rig
    with rig.losing_events():
        trial.apply_to_github()
        delivery = trial.deliver()
        trial.until_ended()
    with rig.environment("watch", RECONCILE_AFTER_SECONDS="1"):
        time.sleep(1)
        rig.set_rules(trial.fault.aws)
        _run_scheduled(trial, "watch")
        trial.until(trial.are_rules_used_up, "the fault")
        # What the first run took and could not do is anybody's two minutes later.
        taken = {"id": {"S": f"ended#{delivery.id}"}}
        if "busy_until" in rig.dynamodb.get_item(TableName=rig.info.idempotency_table, Key=taken).get("Item", {}):
            rig.dynamodb.update_item(
                TableName=rig.info.idempotency_table,
                Key=taken,
                UpdateExpression="SET busy_until = :ago",
                ExpressionAttributeValues={":ago": _LONG_AGO},
            )
        # The next minute does what is left, and the one after it nothing.
        _run_scheduled(trial, "watch")
        _run_scheduled(trial, "watch")


def secret_rotated(trial: Trial) -> None:
    """A delivery; then the webhook's secret changes, and deliveries come with the old one and with the new one."""
    rig = trial.rig
    old = rig.webhook_secret
    trial.deliver()
    trial.until_ended()
    new = f"rotated{time.time_ns()}"
    rig.secrets.add(new)
    rig.secretsmanager.put_secret_value(SecretId=rig.output("WebhookSecretArn"), SecretString=new)
    # The old one is still entered at GitHub.
    trial.deliver(trial.new_delivery())
    trial.until_ended()
    rig.webhook_secret = new
    trial.deliver(trial.new_delivery())
    if old == new:
        raise DrillError("the secret did not change")


def forged(trial: Trial) -> None:
    """A delivery that is signed with another secret, then a genuine one."""
    real, trial.rig.webhook_secret = trial.rig.webhook_secret, "somebody else's"
    try:
        trial.deliver()
    finally:
        trial.rig.webhook_secret = real
    # Never accepted, never to be found: it is no delivery of the row's.
    trial.deliveries.clear()
    trial.deliver()


def credential(value: str) -> Scene:
    """The GitHub credential is another one until the execution has ended."""

    def scene(trial: Trial) -> None:
        with _credential(trial, value):
            trial.deliver()
            trial.until_ended()
            trial.until(lambda: _closing_tried(trial), "the closing function's turn")

    return scene


@contextmanager
def _credential(trial: Trial, value: str) -> Iterator[None]:
    """The GitHub credential is another one meanwhile."""
    rig = trial.rig
    name = rig.output("GitHubCredentialArn")
    rig.secrets.add(value)
    rig.secretsmanager.put_secret_value(SecretId=name, SecretString=value)
    try:
        yield
    finally:
        rig.secretsmanager.put_secret_value(SecretId=name, SecretString=rig.stack.github_token)
        # They may keep the old one for a minute, which is longer than the drill wants to wait.
        rig.kill("processor")
        rig.kill("closing")


def _closing_tried(trial: Trial) -> bool:
    counted = trial.metrics(("closing",))
    return bool(counted["closing.MessageReturned"] or counted["closing.MessageQuarantined"])


def with_version(function: Function, **configuration: Any) -> Scene:
    """A version with another configuration is live until the execution has ended."""

    def scene(trial: Trial) -> None:
        with trial.rig.version(function, **configuration):
            trial.apply()
            trial.deliver()
            trial.until_ended()

    return scene


def swept(trial: Trial) -> None:
    """The webhook is down when GitHub delivers; later the sweeper runs, meets the faults, and runs again."""
    rig = trial.rig
    rig.github.set_hook(rig.info.webhook_url, rig.webhook_secret)
    # A sweep does not look behind the last one, and the delivery is to be older than the drill.
    hook = {"id": {"S": f"sweep#{SWEPT_HOOK}"}}
    rig.dynamodb.delete_item(TableName=rig.info.idempotency_table, Key=hook)
    rig.set_rules([trial.fault.aws[0]])
    delivery = trial.new_delivery()
    # GitHub lists it among the failed; so long ago that it has settled.
    listed = rig.github.deliver(delivery.body, guid=delivery.id, ago=600)
    delivery.answers.append(f"{listed['status_code']} at the hook")
    trial.answers.append(delivery.answers[-1])
    rig.set_rules(trial.fault.aws[1:])
    if trial.fault.aws[1:]:
        _sweep(trial)
        trial.until(trial.are_rules_used_up, "the fault")
    rig.clear()
    _sweep(trial)
    trial.until(lambda: bool(trial.executions()), "the redelivery")
    delivery.answers.append("202 by redelivery")
    trial.answers.append(delivery.answers[-1])
    _sweep(trial)


def swept_after_a_rename(trial: Trial) -> None:
    """As ``swept``, of a repository that was renamed."""
    with _another_name(trial):
        swept(trial)
        trial.until_ended()


def pushed(trial: Trial) -> None:
    """A push, then the faults, and the delivery of the push."""
    trial.push()
    one_delivery(trial)


def refused_and_closed(trial: Trial) -> None:
    """The first fault makes the execution fail; the others meet the closing function alone."""
    first, *others = trial.fault.github
    with trial.rig.paused("closing"):
        trial.rig.github.fail(**first)
        trial.deliver()
        trial.until_ended()
        for one in others:
            trial.rig.github.fail(**one)


def refused_and_closed_after_a_rename(trial: Trial) -> None:
    """An execution fails, and before its status is closed the repository is renamed."""
    with ExitStack() as until_closed:
        with trial.rig.paused("closing"):
            trial.apply()
            trial.deliver()
            trial.until_ended()
            until_closed.enter_context(_another_name(trial))
        trial.until_quiet()


def renamed(trial: Trial) -> None:
    """The repository is renamed between an event and its delivery."""
    with _another_name(trial):
        one_delivery(trial)
        trial.until_ended()


def renamed_while_working(trial: Trial) -> None:
    """The repository is renamed while the work is done."""
    one_delivery(trial)
    trial.until_status("pending")
    with _another_name(trial):
        trial.until_ended()


@contextmanager
def _another_name(trial: Trial) -> Iterator[None]:
    """The repository has another name meanwhile; what was made for the old one goes on to use it."""
    name = trial.pull_request.full_name
    trial.rig.github.rename(f"{name}-2")
    try:
        yield
    finally:
        trial.rig.github.rename(name)


def base_changed(trial: Trial) -> None:
    """A delivery that succeeds; then another base and its delivery, under the faults; then the same work once more."""
    trial.deliver()
    trial.until_ended()
    before = trial.change_base("release")
    trial.apply()
    now = deliveries.render(event_file("reopened").read_bytes(), trial.pull_request)
    trial.deliver(trial.new_delivery(deliveries.edited(now, before)))
    trial.until_ended()
    trial.deliver(trial.new_delivery(now))


def app_without_installation(trial: Trial) -> None:
    """The credential is an App's, and the repository's own hook delivers, twice: it names no installation."""
    asked = _installation_lookups(trial)
    with _credential(trial, _app_credential(trial)):
        _deliver_without_installation(trial)
        trial.push()
        _deliver_without_installation(trial)
    if (asked := _installation_lookups(trial) - asked) != 1:
        trial.problems.append(f"the installation was looked up {asked} times")


def as_app(scene: Scene) -> Scene:
    """The scene, with an App's credential."""

    def signed_in(trial: Trial) -> None:
        with _credential(trial, _app_credential(trial)):
            scene(trial)
            trial.until_quiet()

    return signed_in


def app_revoked_while_working(trial: Trial) -> None:
    """The credential is an App's, and its installation's token is revoked while the work is done."""
    with _credential(trial, _app_credential(trial)):
        one_delivery(trial)
        trial.until_status("pending")
        trial.rig.github.revoke(trial.rig.stack.github_token)
        trial.until_ended()


def token_rotated_while_working(trial: Trial) -> None:
    """The token is revoked, and another one stored, while the work is done."""
    rig = trial.rig
    one_delivery(trial)
    trial.until_status("pending")
    try:
        with _credential(trial, rig.github.revoke()):
            trial.until_ended()
    finally:
        rig.github.revoke(rig.stack.github_token)


def _deliver_without_installation(trial: Trial) -> None:
    payload = json.loads(deliveries.render(sample_of(trial.fault.action), trial.pull_request))
    del payload["installation"]
    trial.deliver(trial.new_delivery(json.dumps(payload).encode()))
    trial.until_ended()


def _installation_lookups(trial: Trial) -> int:
    return sum(one["path"].endswith("/installation") for one in trial.rig.github.requests())


def _app_credential(trial: Trial) -> str:
    """A GitHub App's id and a key that nobody has seen yet, as the secret has them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    trial.rig.secrets.add(key.decode())
    return json.dumps({"app_id": APP_ID, "private_key": key.decode()})


def _sweep(trial: Trial) -> None:
    _run_scheduled(trial, "sweeper")


def _run_scheduled(trial: Trial, function: Function) -> None:
    event = {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": trial.rig.info.region,
        "resources": [],
        "detail": {},
    }
    trial.rig.functions.invoke(
        FunctionName=trial.rig.names[function], Qualifier="live", Payload=json.dumps(event).encode()
    )["Payload"].read()


def _kill(trial: Trial, function: Function) -> None:
    if not trial.rig.kill(function):
        raise DrillError(f"there was no {function} to kill")


def _at_once(*calls: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        barrier.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
