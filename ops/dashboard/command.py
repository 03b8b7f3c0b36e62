"""`make dashboard`: traffic with every kind of fate, and the page that the operator's dashboard would show of it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from local import log_events
from local.cloudwatch import alarms
from local.cloudwatch.collect import Collector
from local.stack import LocalStack, StackInfo, aws_client
from local.traffic import SCHEDULED, Traffic
from ops.dashboard import body, page
from ops.dashboard.body import BodyError
from ops.dashboard.chart import MINUTE, Frame
from ops.replay.show import line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.cloudwatch.series import Samples
    from local.progress import Progress
    from ops.dashboard.page import Tile

LOOK_SECONDS = 1.0
TICK_SECONDS = 5.0
"""How often the watch is invoked: its schedule's minute is as long as the whole run."""
SHOWN_SECONDS = 900
"""What is older than that is left out."""


def dashboard(directory: Path, progress: Progress, out: Path | None, running: StackInfo | None) -> int:
    """Sends traffic and draws the deployed dashboard.

    Args:
        directory: of the stack; the page is written there.
        progress: hears of each step.
        out: where to write the page instead.
        running: the stack that runs there; None to start one, and stop it again.

    Returns:
        The exit code: 0 drawn; 1 when the traffic did not do what it should, or the dashboard cannot be drawn.
    """
    file = out or directory / "dashboard.html"
    try:
        if running is not None:
            tiles = _observe(running, directory / "traces.jsonl", progress, file)
        else:
            with LocalStack(directory, progress) as stack:
                tiles = _observe(stack.info, stack.traces, progress, file)
    except (ValueError, BotoCoreError, ClientError) as error:
        line(progress.console, f"error: {error}", "red")
        return 1
    if empty := page.empty_titles(tiles):
        line(progress.console, "\nWithout data in this run", "bold")
        for title, reason in empty.items():
            line(progress.console, f"  {title}: {reason}")
    line(progress.console, f"\nThe dashboard: {file}")
    return 0


def _observe(info: StackInfo, traces_file: Path, progress: Progress, file: Path) -> list[Tile]:
    collector = Collector(info, traces_file)
    with watched(collector, info):
        Traffic(info, progress, collector.resources).send()
    with progress.step("draw the dashboard"):
        return draw(info, collector.resources.dashboards, collector.poll(), file)


@contextlib.contextmanager
def watched(collector: Collector, info: StackInfo) -> Iterator[None]:
    """Looks at the queues each second meanwhile, and lets the watch look at the executions."""
    stop = threading.Event()
    functions = aws_client("lambda", info.aws_endpoint_url)
    watch = collector.resources.function("watch")

    def look() -> None:
        ticked = 0.0
        while not stop.wait(LOOK_SECONDS):
            collector.look_at_queues()
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                functions.invoke(FunctionName=f"{watch}:live", InvocationType="Event", Payload=SCHEDULED)

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def draw(info: StackInfo, names: tuple[str, ...], samples: Samples, file: Path) -> list[Tile]:
    """Writes the page of the deployed dashboard.

    Args:
        info: the running stack.
        names: its dashboards.
        samples: what there is to show.
        file: the page.

    Returns:
        The widgets as they were drawn.

    Raises:
        BodyError: there is not exactly one dashboard, or its body is not understood.
        ValueError: an alarm is none that CloudWatch would take.
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """
    cloudwatch = aws_client("cloudwatch", info.aws_endpoint_url)
    logs = aws_client("logs", info.aws_endpoint_url)
    if len(names) != 1:
        raise BodyError(f"the stack has {len(names)} dashboards, not one")
    widgets = body.read(cloudwatch.get_dashboard(DashboardName=names[0])["DashboardBody"])
    groups = {group for widget in widgets if isinstance(widget, body.LogWidget) for group in widget.groups}
    now = time.time()
    # CloudWatch evaluates what is over: the minute that the run ends in counts as over here.
    evaluated_at = math.ceil(now / MINUTE) * MINUTE
    evidence = page.Evidence(
        info.stack_name,
        info.region,
        samples,
        {group: log_events.read(logs, [group]) for group in sorted(groups)},
        {
            one["AlarmArn"]: alarms.evaluate(one, samples, evaluated_at, one["StateValue"])
            for answer in cloudwatch.get_paginator("describe_alarms").paginate()
            for one in answer["MetricAlarms"]
        },
    )
    first = min((sample.at for sample in samples), default=now)
    frame = Frame.around(max(first, now - SHOWN_SECONDS), now)
    tiles = page.tiles(widgets, evidence, frame)
    file.write_text(page.render(tiles, evidence, frame), encoding="utf-8")
    return tiles
