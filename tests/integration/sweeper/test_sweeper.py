"""The sweeper with its table, against the local GitHub, whose hook leads to a webhook that is down, and then up."""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from local.github import Fault
from local.github import hooks as local_hooks
from local.github.bodies import hook_delivery_item
from local.github.deliveries import HOOK_ID, sign
from local.github.server import LocalGitHub
from sweeper import hooks
from sweeper.hooks import Entry, HookDeliveries, parse_hooks
from sweeper.ledger import SweptAlready, TableLedger
from sweeper.sweep import MAX_ATTEMPTS, PAUSES_SECONDS, Bounds, EventRecord, Progress
from tests.integration.conftest import CREDENTIAL
from tests.support import Held, LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from tests.integration.conftest import Account

SECRET = "canary-secret-of-the-webhook"
HOOK = f"octo-org/hello-pullback:{HOOK_ID}"
ATTEMPTS = f"/repos/octo-org/hello-pullback/hooks/{HOOK_ID}/deliveries/[0-9]+/attempts"
BODY = '{"action":"synchronize","title":"ünï  odd"}'.encode()
EVENT = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-24T06:50:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:events:us-east-1:123456789012:rule/sweep"],
    "detail": {},
}


@dataclass
class Webhook:
    """A webhook that can be down: then nothing listens at its port."""

    answer: int = 202
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    """GUID and body of every delivery that was signed right."""
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    def up(self) -> None:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["X-Hub-Signature-256"] == sign(SECRET, body):
                    webhook.taken.append((self.headers["X-GitHub-Delivery"], body))
                self.send_response(webhook.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@dataclass
class Stage:
    """The handler and what it plays with."""

    sweeper: ModuleType
    github: LocalGitHub
    webhook: Webhook
    ahead: float = 0
    """Seconds that the clocks of the sweeper and of GitHub are ahead."""

    def sweep(self, remaining_ms: int = 300_000, event: dict[str, Any] | None = None) -> Any:
        return self.sweeper.lambda_handler(EVENT if event is None else event, LambdaContext(remaining_ms))

    def fail_to_deliver(self, count: int = 1, hook: Any = "repository") -> list[str]:
        """Deliveries that nobody took, ten minutes ago; their GUIDs, oldest first."""
        self.webhook.down()
        return [self.github.deliver(BODY, hook=hook, ago=600 - number).guid for number in range(count)]

    def asked(self) -> int:
        """Redeliveries that GitHub accepted."""
        return sum(1 for one in self.github.requests() if (one.method, one.status) == ("POST", 202))

    def item(self, key: str) -> dict[str, Any]:
        item = boto3.client("dynamodb").get_item(TableName="idempotency", Key={"id": {"S": key}}).get("Item", {})
        return {name: next(iter(value.values())) for name, value in item.items()}

    def expect_failure(self) -> None:
        with pytest.raises(self.sweeper.SweepFailed, match="1 of"):
            self.sweep()


@pytest.fixture(scope="module")
def app_credential() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps({"app_id": 7, "private_key": key.decode()})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGitHub]:
    with LocalGitHub(tmp_path_factory.mktemp("github"), token=CREDENTIAL) as server:
        yield server


@pytest.fixture
def github(running: LocalGitHub) -> LocalGitHub:
    """The local GitHub without a past: starting one for each test would take most of the time."""
    running.clear_faults()
    running._state.hooks = local_hooks.Hooks()
    running._state._requests.clear()
    return running


@pytest.fixture
def stage(account: Account, github: LocalGitHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    sweeper = account.handler("sweeper.handler", SWEEP_HOOKS=HOOK, GITHUB_API_URL=github.api_url)
    connect = hooks.open_hook
    monkeypatch.setattr(hooks, "open_hook", lambda *args: connect(*args, timeout=2, seconds_between_writes=None))
    webhook = Webhook()
    webhook.up()
    github.set_hook(webhook.url, SECRET, timeout=2)
    stage = Stage(sweeper, github, webhook)
    for module in (sweeper, local_hooks):
        monkeypatch.setattr(module, "clock", lambda: time.time() + stage.ahead)
    yield stage
    webhook.down()


def metrics(output: str) -> dict[str, float]:
    """The sums of the metrics in a log."""
    sums: dict[str, float] = {}
    for line in output.splitlines():
        record = json.loads(line)
        for metric in record["_aws"]["CloudWatchMetrics"][0]["Metrics"] if "_aws" in record else ():
            sums[metric["Name"]] = sums.get(metric["Name"], 0) + sum(record[metric["Name"]])
    return sums


def test_what_the_webhook_missed_is_delivered_when_it_is_up_again(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    guids = stage.fail_to_deliver(3)
    assert {one.status for one in stage.github.deliveries()} == {"failed to connect to host"}
    stage.webhook.up()

    assert stage.sweep() == {"hooks": 1, "seen": 3, "requested": 3, "given_up": 0}

    again = stage.github.deliveries()[:3]
    assert {(one.guid, one.redelivery, one.status_code) for one in again} == {(guid, True, 202) for guid in guids}
    assert sorted(stage.webhook.taken) == sorted((guid, BODY) for guid in guids), "the same bytes, signed"
    for _ in range(3):
        stage.ahead += 300
        assert stage.sweep()["requested"] == 0
    output = capsys.readouterr().out
    counted = metrics(output)
    assert (counted["SweepDeliveriesSeen"], counted["SweepRedeliveryRequested"]) == (3 + 6, 3)
    assert "SweepGivenUp" not in counted
    assert "SweepFailed" not in counted
    assert guids[0] in output
    assert "canary" not in output


def test_what_was_delivered_is_left_alone(stage: Stage) -> None:
    stage.github.deliver(BODY, ago=900)
    stage.webhook.answer = 409
    stage.github.deliver(BODY, ago=800)
    assert stage.sweep() == {"hooks": 1, "seen": 2, "requested": 0, "given_up": 0}
    assert stage.sweep() == {"hooks": 1, "seen": 0, "requested": 0, "given_up": 0}
    assert stage.asked() == 0


def test_the_cursor_is_in_the_table_and_lapses(stage: Stage) -> None:
    (guid,) = stage.fail_to_deliver()
    stage.webhook.up()
    stage.sweep()
    now = time.time()
    progress, record = stage.item(f"sweep#{HOOK}"), stage.item(f"redelivery#{HOOK}#{guid}")
    assert now - 610 < int(progress["swept_until"]) < now - 590, "where a delivery is that may need another attempt"
    assert int(progress["lease_until"]) == 0
    assert {"top", "page", "left"}.isdisjoint(progress)
    assert record["attempts"] == "1"
    for item in (progress, record):
        assert int(item["expiration"]) > now + 4 * 24 * 60 * 60
    stage.github.deliveries()
    stage.sweep()
    assert now - 130 < int(stage.item(f"sweep#{HOOK}")["swept_until"]) < now - 110


def test_a_cursor_that_github_does_not_know_begins_the_walk_again(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.fail_to_deliver()
    stage.webhook.up()
    ledger = TableLedger(HOOK, "idempotency", stage.sweeper.dynamodb)
    ledger.begin(0, 1)
    ledger.end(Progress(top=1, page="v1_1"), 0)
    assert stage.sweep()["requested"] == 1
    assert "it begins again" in capsys.readouterr().out


def test_what_github_accepted_and_never_did_is_asked_for_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fail_to_deliver()
    with monkeypatch.context() as patch:
        patch.setattr(HookDeliveries, "redeliver", lambda self, entry: None)
        assert stage.sweep()["requested"] == 1
    stage.webhook.up()
    assert stage.sweep()["requested"] == 0
    stage.ahead += PAUSES_SECONDS[0]
    assert stage.sweep()["requested"] == 1
    assert stage.github.deliveries()[0].status_code == 202


@pytest.mark.parametrize("answer", [503, 429, 408])
def test_a_webhook_that_stays_down_is_given_up(stage: Stage, answer: int, capsys: pytest.CaptureFixture[str]) -> None:
    (guid,) = stage.fail_to_deliver()
    stage.webhook.answer = answer
    stage.webhook.up()
    for _ in range(4 * MAX_ATTEMPTS):
        stage.sweep()
        stage.github.deliveries()
        stage.ahead += 5 * 60 * 60
    assert stage.asked() == MAX_ATTEMPTS
    assert len(stage.webhook.taken) == MAX_ATTEMPTS
    output = capsys.readouterr().out
    assert metrics(output)["SweepGivenUp"] == 1
    (error,) = [line for line in map(json.loads, output.splitlines()) if line.get("level") == "ERROR"]
    assert (error["message"], error["delivery_id"], error["status"]) == ("delivery given up", guid, answer)


def test_a_crash_between_request_and_record_asks_no_more_than_allowed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.fail_to_deliver()
    stage.webhook.answer = 503
    stage.webhook.up()

    redeliver = HookDeliveries.redeliver

    def crash(self: HookDeliveries, entry: Entry) -> None:
        redeliver(self, entry)
        raise MemoryError

    monkeypatch.setattr(HookDeliveries, "redeliver", crash)
    for _ in range(MAX_ATTEMPTS):
        stage.expect_failure()
        stage.github.deliveries()
        stage.ahead += max(PAUSES_SECONDS)
    assert stage.sweep()["given_up"] == 1
    assert stage.asked() == MAX_ATTEMPTS


def test_a_crash_before_the_request_is_made_good(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fail_to_deliver(2)
    stage.webhook.up()
    with monkeypatch.context() as patch:

        def crash(self: HookDeliveries, entry: Entry) -> None:
            raise MemoryError

        patch.setattr(HookDeliveries, "redeliver", crash)
        stage.expect_failure()
    assert stage.asked() == 0
    # The one that was being asked for waits for its pause, the other one does not.
    assert stage.sweep()["requested"] == 1
    # It is there when the next sweep looks.
    stage.github.deliveries()
    stage.ahead += PAUSES_SECONDS[0]
    assert stage.sweep()["requested"] == 1
    assert len({guid for guid, _ in stage.webhook.taken} | {one.guid for one in stage.github.deliveries()}) == 2
    assert sorted(one.status_code for one in stage.github.deliveries()[:2]) == [202, 202]


def test_a_killed_run_frees_its_hook_when_its_time_is_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.fail_to_deliver()
    stage.webhook.up()

    class Killed(BaseException): ...

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TableLedger, "end", kill)
        patch.setattr(HookDeliveries, "page", kill)
        with pytest.raises(Killed):
            stage.sweep()
    assert stage.sweep()["hooks"] == 0, "as long as the other run may be alive"
    assert "hook is being swept already" in capsys.readouterr().out
    stage.ahead += 301
    assert stage.sweep()["requested"] == 1


def test_bounds_are_met_and_the_next_run_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    guids = stage.fail_to_deliver(9)
    stage.webhook.up()
    monkeypatch.setattr(hooks, "PAGE", 2)
    monkeypatch.setattr(stage.sweeper, "BOUNDS", Bounds(pages=2, redeliveries=3))
    runs = []
    for _ in range(20):
        runs.append(stage.sweep())
        stage.github.deliveries()
        assert runs[-1]["seen"] <= 4
        assert runs[-1]["requested"] <= 3
    assert sum(run["requested"] for run in runs) == stage.asked() == 9
    assert sorted(guid for guid, _ in stage.webhook.taken) == sorted(guids)
    assert int(stage.item(f"sweep#{HOOK}")["swept_until"]) > time.time() - 150


@pytest.mark.parametrize("fault", [Fault(status=502), Fault.rate_limit(), Fault.secondary_rate_limit()])
def test_github_failing_in_between_moves_nothing(
    stage: Stage, fault: Fault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.fail_to_deliver(4)
    stage.webhook.up()
    monkeypatch.setattr(hooks, "PAGE", 2)
    page = HookDeliveries.page

    def failing(self: HookDeliveries, cursor: str | None) -> Any:
        if cursor is not None:
            stage.github.fail(fault)
        return page(self, cursor)

    with monkeypatch.context() as patch:
        patch.setattr(HookDeliveries, "page", failing)
        stage.expect_failure()
    assert "swept_until" not in stage.item(f"sweep#{HOOK}")
    output = capsys.readouterr().out
    assert metrics(output)["SweepFailed"] == 1
    assert "canary" not in output
    stage.github.clear_faults()
    assert stage.sweep()["requested"] == 4


def test_a_rate_limit_at_the_request_costs_no_attempt(stage: Stage) -> None:
    (guid,) = stage.fail_to_deliver()
    stage.webhook.up()
    stage.github.fail(Fault.rate_limit(method="POST", path=ATTEMPTS))
    for _ in range(MAX_ATTEMPTS + 1):
        stage.expect_failure()
    assert "attempts" not in stage.item(f"redelivery#{HOOK}#{guid}")
    stage.github.clear_faults()
    assert stage.sweep()["requested"] == 1


def test_a_lost_answer_to_the_request_is_counted(stage: Stage) -> None:
    (guid,) = stage.fail_to_deliver()
    stage.webhook.up()
    stage.github.fail(method="POST", path=ATTEMPTS, delay=3, times=1)
    stage.expect_failure()
    assert stage.item(f"redelivery#{HOOK}#{guid}")["attempts"] == "1"
    stage.github.deliveries()
    stage.ahead += PAUSES_SECONDS[0]
    assert stage.sweep()["requested"] == 0, "GitHub had heard of it"


def test_one_hook_that_fails_keeps_none_from_being_swept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fail_to_deliver()
    stage.webhook.up()
    monkeypatch.setattr(stage.sweeper, "HOOKS", parse_hooks(f"octo-org/other:1,app,{HOOK}"))
    with pytest.raises(stage.sweeper.SweepFailed, match="2 of 3 hooks"):
        stage.sweep()
    assert stage.asked() == 1


def test_a_run_that_has_no_time_begins_nothing(stage: Stage) -> None:
    stage.fail_to_deliver()
    assert stage.sweep(remaining_ms=int(stage.sweeper.STOP_BEFORE_SECONDS * 1000) - 1)["seen"] == 0
    assert stage.sweep()["requested"] == 1


def test_two_hooks_share_the_time(stage: Stage) -> None:
    seen: list[float] = []
    remaining = [275.0]

    def hook(left: int) -> Callable[[], bool]:
        """``out_of_time`` of the hook that has so many hooks left, itself included."""

        class Sweep:
            def __init__(self, *, out_of_time: Any, **_: Any) -> None:
                self.out_of_time = out_of_time

            def run(self, until: float) -> Any:
                while not self.out_of_time():
                    remaining[0] -= 1
                seen.append(remaining[0])
                return stage.sweeper.Tally()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage.sweeper, "Sweep", Sweep)
            stage.sweeper.sweep(parse_hooks(HOOK)[0], lambda: remaining[0], hooks_left=left)
        return lambda: True

    hook(2)
    hook(1)
    assert seen == [174, 74], "half of the 200 s that there are above the reserve, each"


def test_an_app_sweeps_its_own_hook(stage: Stage, app_credential: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.github.set_hook(stage.webhook.url, SECRET, hook="app", timeout=2)
    (guid,) = stage.fail_to_deliver(hook="app")
    stage.webhook.up()
    monkeypatch.setattr(stage.sweeper, "HOOKS", parse_hooks("app"))
    monkeypatch.setattr(stage.sweeper.credential, "read", Held(app_credential).read)
    assert stage.sweep()["requested"] == 1
    assert [(one.guid, one.status_code) for one in stage.github.deliveries("app")] == [(guid, 202), (guid, 502)]


def test_an_app_sweeps_a_repositorys_hook(stage: Stage, app_credential: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fail_to_deliver()
    stage.webhook.up()
    monkeypatch.setattr(stage.sweeper.credential, "read", Held(app_credential).read)
    assert stage.sweep()["requested"] == 1


@pytest.mark.parametrize(
    ("hook", "credential"),
    [("app", "ghp_canary"), (HOOK, "{canary"), (HOOK, '{"app_id": 1, "private_key": "canary"}'), (HOOK, "two\ncanary")],
)
def test_a_credential_that_does_not_fit(
    stage: Stage,
    hook: str,
    credential: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(stage.sweeper, "HOOKS", parse_hooks(hook))
    monkeypatch.setattr(stage.sweeper.credential, "read", Held(credential).read)
    stage.expect_failure()
    output = capsys.readouterr().out
    assert '"error":"CredentialInvalid"' in output
    assert "canary" not in output


def test_the_table_failing_fails_the_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    boto3.client("dynamodb").delete_table(TableName="idempotency")
    stage.expect_failure()
    output = capsys.readouterr().out
    assert '"error":"SweepRecordUnavailable"' in output
    assert stage.github.requests() == []


def test_an_invocation_by_hand_sweeps_too(stage: Stage) -> None:
    assert stage.sweep(event={}) == {"hooks": 1, "seen": 0, "requested": 0, "given_up": 0}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("SWEEP_HOOKS", "octo-org", "SWEEP_HOOKS: entry 1"), ("SWEEP_HOOKS", "", "SWEEP_HOOKS is not set")],
)
def test_wrong_settings_are_named(
    stage: Stage, name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "sweeper.handler")
    with pytest.raises(RuntimeError, match=message):
        importlib.import_module("sweeper.handler")


class TestLedger:
    """The ledger's own promises; that it keeps what it is told, the tests above show."""

    NOW = 1_790_000_000
    ENTRY = Entry(1, "g", NOW - 600, redelivery=False, status_code=503)

    @pytest.fixture
    def ledgers(self, stage: Stage) -> tuple[TableLedger, TableLedger]:
        """Two runs for one hook."""
        dynamodb = stage.sweeper.dynamodb
        return TableLedger("h", "idempotency", dynamodb), TableLedger("h", "idempotency", dynamodb)

    def test_one_run_has_the_hook(self, ledgers: tuple[TableLedger, TableLedger]) -> None:
        first, second = ledgers
        first.begin(self.NOW, self.NOW + 300)
        assert first.begin(self.NOW, self.NOW + 300) == Progress(), "the SDK may send it twice"
        with pytest.raises(SweptAlready):
            second.begin(self.NOW + 299, self.NOW + 600)
        progress = Progress(self.NOW, self.NOW + 5, "v1_7", self.NOW + 1)
        first.end(progress, self.NOW)
        assert second.begin(self.NOW + 1, self.NOW + 300) == progress
        first.end(Progress(1), self.NOW)
        second.end(None, self.NOW)
        assert first.begin(self.NOW + 1, self.NOW + 300) == progress, "who has lost the hook changes nothing"
        first.end(Progress(self.NOW + 9), self.NOW)
        assert second.begin(self.NOW + 1, self.NOW + 300) == Progress(self.NOW + 9)

    @pytest.mark.parametrize("record", [EventRecord(), EventRecord(attempts=1, asked_at=NOW - 1)])
    def test_a_request_is_counted_once(self, ledgers: tuple[TableLedger, TableLedger], record: EventRecord) -> None:
        first, second = ledgers
        if record.attempts:
            first.claim(self.ENTRY, EventRecord(), self.NOW)
        first.claim(self.ENTRY, record, self.NOW)
        first.claim(self.ENTRY, record, self.NOW)
        with pytest.raises(SweptAlready):
            second.claim(self.ENTRY, record, self.NOW)
        attempts = record.attempts + 1
        assert second.record("g") == EventRecord(
            attempts=attempts,
            newest=self.NOW - 600,
            asked_at=self.NOW,
            due_at=self.NOW + PAUSES_SECONDS[attempts - 1],
        )
        second.unclaim(self.ENTRY, record)
        assert second.record("g").attempts == attempts, "it is another run's"
        first.unclaim(self.ENTRY, record)
        assert second.record("g") == replace(record, newest=self.NOW - 600)

    def test_notes_do_not_go_back(self, ledgers: tuple[TableLedger, TableLedger]) -> None:
        ledger, other = ledgers
        ledger.note(Entry(3, "g", self.NOW, redelivery=True, status_code=200), self.NOW)
        ledger.note(self.ENTRY, self.NOW)
        assert ledger.record("g") == EventRecord(newest=self.NOW, delivered=True)
        assert ledger.give_up(self.ENTRY, self.NOW)
        assert ledger.give_up(self.ENTRY, self.NOW), "the SDK may send it twice"
        assert not other.give_up(self.ENTRY, self.NOW)

    def test_hooks_are_apart(self, stage: Stage, ledgers: tuple[TableLedger, TableLedger]) -> None:
        # GitHub gives an event the same GUID at every hook.
        ledgers[0].claim(self.ENTRY, EventRecord(), self.NOW)
        assert TableLedger("other", "idempotency", stage.sweeper.dynamodb).record("g") == EventRecord()


ODD: list[Any] = [
    None,
    "text",
    7,
    [],
    {},
    {"id": 1, "guid": None, "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": 1, "guid": 5, "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": 1, "guid": "a b", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": 1, "guid": "a", "delivered_at": None, "status_code": 500},
    {"id": 1, "guid": "a", "delivered_at": "yesterday", "status_code": 500},
    {"id": 1, "guid": "a", "status_code": 500},
    {"id": None, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": 1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": "500"},
    {"id": 1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": True},
    {"id": 1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": False},
    {"id": 1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": -500},
    {"id": True, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": -1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
    {"id": 1.5, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500},
]


def test_one_odd_entry_loses_nothing_but_itself(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    (guid,) = stage.fail_to_deliver()
    stage.webhook.up()
    good = hook_delivery_item(stage.github._state.hooks.list("repository")[0])
    answer: Any = [*ODD[:6], good, *ODD[6:]]
    stage.github.fail(Fault(method="GET", path="/deliveries$", status=200, body=answer, times=1))

    assert stage.sweep()["requested"] == 1

    stage.github.deliveries()
    assert [taken for taken, _ in stage.webhook.taken] == [guid]
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "deliveries left out" in line]
    assert json.loads(told)["count"] == len(ODD)


@pytest.mark.parametrize("good", [0, 1])
def test_a_page_that_ends_with_odd_entries_is_not_the_last_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], good: int
) -> None:
    guids = stage.fail_to_deliver(5)
    stage.webhook.up()
    monkeypatch.setattr(hooks, "PAGE", 2)
    first = requests.get(
        f"{stage.github.api_url}{parse_hooks(HOOK)[0].path}?per_page=2",
        headers={"Authorization": f"Bearer {CREDENTIAL}"},
        timeout=5,
    )
    answer: Any = [*first.json()[:good], *ODD]
    headers = {"Link": first.headers["Link"]}
    stage.github.fail(Fault(method="GET", path="/deliveries$", status=200, body=answer, headers=headers, times=1))

    assert stage.sweep() == {"hooks": 1, "seen": good + 3, "requested": good + 3, "given_up": 0}

    stage.github.deliveries()
    assert sorted(taken for taken, _ in stage.webhook.taken) == sorted(guids[:3] + guids[5 - good :])
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "deliveries left out" in line]
    assert json.loads(told)["count"] == len(ODD)


@given(odd=st.lists(st.sampled_from(ODD) | st.dictionaries(st.text(), st.integers() | st.none()), max_size=5))
def test_whatever_else_is_in_a_list_good_entries_come_out(odd: list[Any]) -> None:
    good = {"id": 1, "guid": "a", "delivered_at": "2026-11-01T12:00:00Z", "status_code": 500, "redelivery": False}
    entries = [hooks._entry(one) for one in [*odd, good, *odd]]
    assert [entry.guid for entry in entries if entry is not None] == ["a"]


def test_an_organisations_hook_is_swept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = hooks.parse_hooks(f"orgs/octo-org:{local_hooks.ORGANISATION_HOOK_ID}")
    monkeypatch.setattr(stage.sweeper, "HOOKS", organisation)
    stage.github.set_hook(stage.webhook.url, SECRET, hook="organisation")
    (guid,) = stage.fail_to_deliver(hook="organisation")
    stage.webhook.up()

    assert stage.sweep()["requested"] == 1
    stage.github.deliveries("organisation")
    assert [taken for taken, _ in stage.webhook.taken] == [guid]


def test_an_app_sweeps_an_organisations_hook(
    stage: Stage, app_credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = hooks.parse_hooks(f"orgs/octo-org:{local_hooks.ORGANISATION_HOOK_ID}")
    monkeypatch.setattr(stage.sweeper, "HOOKS", organisation)
    monkeypatch.setattr(stage.sweeper.credential, "read", Held(app_credential).read)
    stage.github.set_hook(stage.webhook.url, SECRET, hook="organisation")
    stage.fail_to_deliver(hook="organisation")
    stage.webhook.up()

    assert stage.sweep()["requested"] == 1
    assert any(one.path == "/orgs/octo-org/installation" for one in stage.github.requests())
