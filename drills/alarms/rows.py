"""The table: what is broken, and which alarms it sets off. Composite alarms follow from theirs, and are in no row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drills.alarms import scenes
from drills.chaos.fault import GITHUB_REFUSES, Fault
from drills.chaos.rows import CLOSE_WORK, HEARTBEAT, KEEP, START

if TYPE_CHECKING:
    from drills.alarms.scenes import Scene


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        fault: what is broken, as the fault drill has it: its name, its rules.
        alarms: all that it sets off, without the stack's name.
        scene: what is done.
        although: pairs of composite alarms: the first one fires, and its topic is told, while the second is in ALARM.
        published: why the drill publishes the metric itself, where the embedded AWS cannot be made to do what it tells
            of; empty otherwise.
    """

    fault: Fault
    alarms: tuple[str, ...]
    scene: Scene
    although: tuple[tuple[str, str], ...] = ()
    published: str = ""


_A_PULL_REQUEST = r"/pulls/\d+$"
_FILES = r"/pulls/\d+/files"
_NO_THROTTLES = "the embedded AWS does not enforce the concurrency of an alias; {}"

ROWS: tuple[Row, ...] = (
    # Entrance
    Row(
        Fault(
            "Step Functions and the replay queue are away, and deliveries are half an hour apart",
            aws=(START.is_down(), KEEP.is_down()),
        ),
        ("webhook-failing",),
        scenes.refused_now_and_then,
    ),
    Row(
        Fault("Step Functions and the replay queue are away", aws=(START.is_down(), KEEP.is_down())),
        ("webhook-errors", "webhook-failing"),
        scenes.refused_twice,
    ),
    Row(
        Fault("the webhook cannot be started"),
        ("webhook-crashes", "webhook-failing"),
        scenes.unstartable_webhook,
    ),
    Row(
        Fault("deliveries to another address than the webhook's"),
        ("deliveries-turned-away",),
        scenes.turned_away,
    ),
    Row(
        Fault("Lambda has no room for the webhook"),
        ("webhook-throttles",),
        scenes.published("AWS/Lambda", "Throttles", of="webhook", minutes=2),
        published=_NO_THROTTLES.format("the metric of two minutes with one throttle each"),
    ),
    Row(
        Fault(
            "Step Functions takes its time to start an execution",
            aws=({**START.is_down(), "error": None, "latency": 1500},),
        ),
        ("webhook-latency",),
        scenes.slow,
    ),
    Row(
        Fault("deliveries that are signed with another secret"),
        ("signature-failures",),
        scenes.forged,
    ),
    Row(
        Fault(
            "Step Functions takes no executions for a quarter of an hour", aws=(START.is_down(),), impatient=("replay",)
        ),
        ("deliveries-queued", "replay-queue-stuck"),
        scenes.kept,
    ),
    Row(
        Fault("GitHub does not list its deliveries", github=({"path": "/hooks/", "status": 500},)),
        ("sweep-failed",),
        scenes.failing_sweeps,
    ),
    Row(
        Fault(
            "the webhook is down for a delivery, and GitHub refuses every redelivery",
            aws=(START.is_down(), KEEP.is_down()),
            github=({"path": "/attempts$", "method": "POST", "status": 422},),
        ),
        ("sweep-given-up",),
        scenes.hopeless_delivery,
    ),
    # Executions
    Row(
        Fault("GitHub refuses every pull request", github=({"path": _A_PULL_REQUEST, "status": 403},)),
        ("executions-failed", "no-success", "github-errors", "dead-work"),
        scenes.refused_work,
    ),
    Row(
        Fault(
            "GitHub's rate limit is used up",
            github=({"kind": "rate_limit", "seconds": 3600, "path": _A_PULL_REQUEST},),
        ),
        ("github-rate-limit", "no-success", "executions-stuck"),
        scenes.waiting_for_github,
        although=(("page-stuck", "page-work"),),
    ),
    # Processor
    Row(
        Fault("Lambda has no room for the processor"),
        ("processor-throttles",),
        scenes.published("AWS/Lambda", "Throttles", of="processor", minutes=3),
        published=_NO_THROTTLES.format("the metric of three minutes with one throttle each"),
    ),
    Row(
        Fault("GitHub needs eight minutes for an answer", github=({"path": _FILES, "delay": 8, "times": 1},)),
        ("processor-duration",),
        scenes.long_work,
    ),
    Row(
        Fault("the processor dies in every attempt", aws=(HEARTBEAT.meets("held", 3),), cold=("processor",)),
        ("processor-crashes", "dead-work"),
        scenes.killed_three_times,
    ),
    # What waits
    Row(
        Fault(
            "the closing function cannot take over what failed",
            aws=(CLOSE_WORK.is_down(),),
            github=(GITHUB_REFUSES,),
            impatient=("ended",),
        ),
        ("ended-executions-stuck", "dead-work"),
        scenes.unclosed,
    ),
    Row(
        Fault("nobody looks after what is left, for three days", github=(GITHUB_REFUSES,)),
        ("dead-work", "dead-work-age", "quarantine", "quarantine-age"),
        scenes.left_for_days,
        although=(("ticket-overdue", "ticket-dead-work"), ("ticket-overdue", "ticket-quarantine")),
    ),
    # What is watched
    Row(Fault("the watch does not run"), ("watch-silent",), scenes.unwatched),
    # Last: it leaves a resource in the stack.
    Row(Fault("CloudFormation changes the stack"), ("deploying",), scenes.deploying),
)
