"""A short run of every target, and the archives that have to be refused by name; the long runs are ``make fuzz``."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from processor.actions.build.archive import ArchiveRefused, Limits, Tree, pack, read_archive
from processor.policy import PolicyInvalid
from shared.stored_secret import SecretInvalid
from tests.fuzz import contents, engines, entrances, policies, queues, stored
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.watch import watched
from tests.support import DELIVERY_ID, LambdaContext
from tests.unit.processor.fakes import a_tar, member

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = 150

# What a run has to come across, or it has not been where it matters.
REACHED = {
    "webhook": {"202 started", "202 restarted", "202 queued", "200 duplicate", "200 pong", "401 unauthorized",
                "400 invalid", "409 exhausted", "503 unavailable", "413 too_large", "202 ignored", "415 unsupported"},
    "projection": {"job", "400 body", "400 action"},
    "task": {"dispatched", "InvalidContract", "DispatchFailed", "IdempotencyPersistenceLayerError"},
    "processor": {"success success", "success neutral", "failure InvalidJob", "failure UnknownAction",
                  "CallbackUnavailable", "ended quietly"},
    "dead_work": {"destination", "event", "execution", "delivery", "unreadable"},
    "replay": {"started, done", "put aside", "given back"},
    "crash": {"reported, done", "put aside", "given back"},
    "closing": {"closed, done", "put aside", "given back"},
    "archive": {"refused", "3 files, 0 links, 0 left out"},
    "syntax": {f"{language} {verdict}" for language in ("json", "toml", "yaml", "python")
               for verdict in ("fine", "problem")},
    "secret": {"anything: refused refused", "damaged: refused read", "WebhookSecret plain",
               "WebhookSecret as the one value of a JSON object", "Token in quotes", "App plain",
               "App with escaped line breaks in its key", "App with its key on one line"},
    "policy": {"anything: read", "anything: refused", "anything: not TOML", "written: read", "written: warned",
               "written: refused", "written: not TOML", "patterns: concerned", "patterns: not concerned"},
    "diff": {"0 kinds of paths, 0 kinds of problems", "1 kinds of paths, 0 kinds of problems"},
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_nothing_breaks(target: Target) -> None:
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(engines.inputs_of(target))
    def fuzz(data: bytes) -> None:
        outcomes[target.run(data)] += 1

    for seed in target.seeds():
        outcomes[target.run(seed)] += 1
    fuzz()
    assert REACHED[target.name] <= outcomes.keys()


class TestTheHarness:
    """That it notices what it is there to notice."""

    def test_an_execution_without_a_signature(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entrances.webhook_handler(), "verify", lambda delivery: None)
        # A near-valid event, signed with a secret that somebody guessed.
        with pytest.raises(AssertionError, match="without a valid signature"):
            entrances.webhook(bytes([0, 0, 0, 1, 0, 0, 5]))

    def test_a_token_in_the_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        handler = entrances.task_handler()
        monkeypatch.setattr(handler, "dispatch", lambda event: handler.telemetry.log.info("sent", sent=event))
        with pytest.raises(AssertionError, match="a secret is in the log"):
            entrances.task(b"")

    def test_an_event_that_is_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        handler = entrances.task_handler()
        dispatch = handler.dispatch
        monkeypatch.setattr(handler, "dispatch", lambda event: dispatch({**event, "more": 1}))
        with pytest.raises(AssertionError, match="changed on its way"):
            entrances.task(b"")

    def test_a_task_without_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entrances.processor_handler().Callback, "succeed", lambda callback, outcome: None)
        with pytest.raises(AssertionError, match="without an end"):
            entrances.processor(b"")

    def test_a_message_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queues.replay_handler().consumer, "_quarantine", lambda record, reason: None)
        with pytest.raises(AssertionError, match="unreadable message is gone"):
            queues.replay(b"\0\0\0\0\5{}")

    def test_a_path_that_escapes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("processor.actions.build.archive.link_fault", lambda path, target: None)
        tree = read(gzip.compress(a_tar(member("t/a/l", type=tarfile.SYMTYPE, linkname="../../../etc"))))
        with pytest.raises(AssertionError, match="leads out of the tree"):
            contents.check_tree(tree)

    def test_a_secret_in_a_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(value: str | bytes) -> None:
            raise SecretInvalid(f"cannot read {value!r}")

        monkeypatch.setattr(stored, "webhook_secret", refuse)
        for kind in (b"\0a secret of somebody's", b"\4"):
            with pytest.raises(AssertionError, match=r"quotes what is stored|a piece of the secret"):
                stored.secret(kind)

    def test_a_secret_that_reads_differently_in_quotes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.stored_secret._unquoted", lambda text: None)
        with pytest.raises(AssertionError, match="and plainly"):
            stored.secret(bytes([3, 0, 0, 1]))

    def test_a_policy_that_is_quoted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("processor.policy._invalid", lambda text, field, problem: PolicyInvalid(1, field, text))
        with pytest.raises(AssertionError, match="not our words"):
            policies.policy(b"\0forks = 'nobody'")

    def test_a_policy_whose_line_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("processor.policy.line_of", lambda text, key: 1)
        with pytest.raises(AssertionError, match="forks is not in line 1"):
            policies.policy(b"\0x = 1\nforks = 'nobody'")

    def test_a_pattern_that_forgets_what_is_below(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("processor.patterns._begins", lambda folders, names: len(folders) == len(names))
        with pytest.raises(AssertionError):
            policies.policy(bytes([2, 1]))

    def test_a_file_that_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="effects outside the process"), watched():
            (tmp_path / "x").write_text("x")

    def test_a_line_that_is_no_json(self) -> None:
        with watched() as output:
            sys.stdout.write("forged\n")
        with pytest.raises(ValueError, match="Expecting value"):
            entrances.check_log(output)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": "X-GitHub-Event: pull_request"},
        {"headers": 5},
        {"headers": ["Content-Type"]},
        {"headers": {"Content-Type": ["application/json"]}},
        {"headers": {"Content-Type": "application/json", "X-GitHub-Delivery": 5}},
        {"headers": {"Content-Type": "application/json", "X-Hub-Signature-256": ["sha256="]}},
        {"body": 5},
        {"body": ["{}"]},
        {"body": {"a": 1}},
        {"body": [], "isBase64Encoded": True},
        {"body": {"a": 1}, "isBase64Encoded": True},
        {"headers": None, "body": None, "isBase64Encoded": None},
    ],
    ids=str,
)
def test_an_event_that_api_gateway_never_sends_is_answered(changes: dict[str, Any]) -> None:
    event = {**entrances.signed(b"{}", secret=entrances.SECRET, event="pull_request"), **changes}
    answer = entrances.webhook_handler().lambda_handler(event, LambdaContext())
    assert 400 <= answer["statusCode"] < 500


def test_a_header_cannot_make_a_log_line_that_is_no_utf8() -> None:
    event = entrances.signed(b"{}", secret=entrances.SECRET, event="\ud800")
    with watched() as output:
        entrances.webhook_handler().lambda_handler(event, LambdaContext())
    entrances.check_log(output)


# --- archives


def read(data: bytes, limits: Limits | None = None) -> Tree:
    with watched():
        return read_archive(io.BytesIO(data), io.BytesIO(), limits=limits)


def a_gzip(*parts: tuple[bytes, int]) -> bytes:
    """A gzip stream of these parts, each repeated so many times; larger than one wants to have in memory at once."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(deflate.compress(part) for part, times in parts for _ in range(times)) + deflate.flush()


def a_header(name: str, **fields: Any) -> bytes:
    info, _ = member(name, **fields)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


MEBIBYTE = bytes(1 << 20)
BOMBS = {
    "one large file": lambda: a_gzip((a_header("t/a", size=90 << 20), 1), (MEBIBYTE, 90)),
    "many files of the largest size": lambda: a_gzip(
        *(
            (part, times)
            for number in range(3)
            for part, times in ((a_header(f"t/{number}", size=64 << 20), 1), (MEBIBYTE, 64))
        )
    ),
    "nothing but zeros behind the end": lambda: a_gzip((a_tar(member("t/a", b"x")), 1), (MEBIBYTE, 200)),
    "zeros in members of their own": lambda: gzip.compress(a_tar(member("t/a"))) + gzip.compress(MEBIBYTE) * 200,
    "a file that nobody takes": lambda: a_gzip((a_header("../a", size=90 << 20), 1), (MEBIBYTE, 90)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_is_large(bomb: Any) -> None:
    data = bomb()
    assert len(data) < 1 << 19
    target = io.BytesIO()
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveRefused, match="100 times its size"):
            read_archive(io.BytesIO(data), target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    spooled = len(target.getvalue())
    assert spooled <= Limits().ratio_floor_bytes + len(data) * Limits().ratio
    # A BytesIO grows by an eighth, and is copied when it does.
    assert peak - 2.5 * spooled < 8 << 20


def test_a_hundred_thousand_entries_are_read_in_bounded_time() -> None:
    headers = [
        bytearray(a_header("t/000000", type=kind, linkname="x" if kind == tarfile.SYMTYPE else ""))
        for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE)
    ]
    totals = [sum(header[:148]) + sum(header[156:]) + 8 * ord(" ") - 6 * ord("0") for header in headers]
    blocks = []
    for number in range(Limits().entries):
        # By hand: tarfile takes longer to write them than we to read them.
        header, digits = headers[number % 3], b"%06d" % number
        header[2:8] = digits
        header[148:156] = b"%06o\0 " % (totals[number % 3] + sum(digits))
        blocks.append(bytes(header))
    data = gzip.compress(b"".join(blocks) + bytes(1024), compresslevel=1)

    started = time.process_time()
    tree = read(data)
    assert time.process_time() - started < 20
    assert len(blocks) == 100_000
    assert (len(tree.files), len(tree.symlinks), tree.left_out_count) == (33_334, 33_333, 0)


HOSTILE = [
    member("../escape", b"x"),
    member("t/../../escape", b"x"),
    member("/pullback-escape", b"x"),
    member("t/out", type=tarfile.SYMTYPE, linkname="../../../etc"),
    member("t/out/passwd", b"x"),
    member("t/absolute", type=tarfile.SYMTYPE, linkname="/etc"),
    member("t/hard", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
    member("t/zero", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    member("t/disk", type=tarfile.BLKTYPE, devmajor=8),
    member("t/pipe", type=tarfile.FIFOTYPE),
    member("t/nul\0.txt", b"x"),
    member("t/\udcff\udc80", b"x"),
    member("t/" + "long/" * 1000 + "x", b"x"),
    member("t/" + "\u00e4" * 5000, b"x"),
    member("t/set-user-id/../x", b"x", mode=0o4777),
]


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["GNU", "PAX"])
def test_nothing_of_what_is_hostile_is_kept_and_nothing_is_touched(format_: int) -> None:
    # read() watches: no file is opened for writing, no link is made, no process started.
    tree = read(gzip.compress(a_tar(*HOSTILE, format=format_)))

    kept = {file.path for file in tree.files}
    # GNU's names end at the first NUL, and the name of a file below a link is free when the link is not taken.
    assert kept <= {"nul", "out/passwd"}
    assert not tree.symlinks
    assert tree.left_out_count == len(HOSTILE) - len(kept)
    contents.check_tree(tree)


TRICKS = [
    "t/\u202egpj.exe", "t/\u200b", "t/a\u0301", "t/\u00e1", "t/\uff41", "t/\ufeff", "t/con", "t/a ", "t/a.", "t/~root",
    "t/$HOME", "t/%2e%2e/x", "t/..\\..\\x", "t/C:/x", "t/\uff0e\uff0e/x", "t/\u2025/x", "t/-rf", "t/*?[", "t/.. /x",
    "t/" + "\U0001f600" * 60,
]  # fmt: skip


def test_odd_names_are_names_and_nothing_else(tmp_path: Path) -> None:
    tree = read(gzip.compress(a_tar(*[member(name, name.encode()) for name in TRICKS])))

    assert sorted(file.path for file in tree.files) == sorted(name.removeprefix("t/") for name in TRICKS)
    contents.check_tree(tree)
    # Unpacked with Python's own filter for hostile archives, everything is where its name says.
    bundle = io.BytesIO()
    pack(tree, bundle)
    contents.check_bundle(bundle.getvalue(), tree)
    with tarfile.open(fileobj=io.BytesIO(bundle.getvalue())) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    found = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert {str(file.relative_to(tmp_path / "out")) for file in found} == {file.path for file in tree.files}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


# --- the command line


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=engines.ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_one_input_is_run_again_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b'\0{"action": 5}')
    again = fuzz("projection", "--input", str(file))
    assert (again.returncode, again.stdout.strip()) == (0, "400 action")


def test_an_input_that_breaks_something_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def breaks(data: bytes) -> str:
        assert b"\x07" not in data, DELIVERY_ID
        return "fine"

    monkeypatch.setattr(engines, "ROOT", tmp_path)
    monkeypatch.setattr(engines, "DIRECTORY", tmp_path)
    run = engines.with_hypothesis(Target("sample", breaks, lambda: [b""]), 20, 0, lambda run: None)
    (crash,) = run.crashes
    # Made as small as it gets.
    assert (tmp_path / crash).read_bytes() == b"\x07"
    assert run.is_broken


def test_without_the_engine_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_atheris", lambda: False)
    with pytest.raises(engines.EngineMissing, match="`make fuzz` installs it"):
        engines.with_atheris(TARGETS["diff"], 1, 0, lambda run: None)
