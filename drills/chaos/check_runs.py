"""The table's section "Check runs": what holds for commit statuses holds for what an App shows, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drills.chaos import scenes
from drills.chaos.fault import FAILS_AND_IS_REPLAYED, GITHUB_REFUSES, Fault, counting, metrics
from drills.chaos.model import Expected
from drills.chaos.ordinary_day import LONG_SECONDS, TIMINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drills.chaos.scenes import Scene

NAME = "Check runs"

_CREATE = {"method": "POST", "path": "/check-runs$"}
_UPDATE = {"method": "PATCH", "path": r"/check-runs/\d+$"}
_READ = {"method": "GET", "path": r"/check-runs/\d+$"}
_LIST = {"method": "GET", "path": "/commits/.+/check-runs$"}
_FILES = {"path": r"/pulls/\d+/files$"}
_POLICY = {"method": "GET", "path": "/contents/"}
_UNKNOWN = {"kind": "lag"}
_SLOW = {**_FILES, "delay": 8, "times": 1}
_WORKED_ONCE = counting(processor_WorkSucceeded=1, processor_WorkFailed=0)
_LAGS_ONCE = counting(processor_GitHubLag="1+", processor_WorkSucceeded=1)
_AGAIN = counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1)
_SHOWN_AGAIN = counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkReused=1)


def _row(
    what: str,
    expected: Expected,
    *github: Mapping[str, Any],
    scene: Scene = scenes.one_delivery,
    within: float = 60.0,
    action: str = "synchronize",
) -> Fault:
    # Processes that have the former credential cached would use it for a minute.
    return Fault(
        f"{NAME}: {what}",
        expected,
        action=action,
        github=github,
        cold=("processor", "closing"),
        scene=scenes.as_app(scene),
        within=within,
    )


CHECK_RUNS = [
    _row("nothing is broken, report", _WORKED_ONCE),
    _row("nothing is broken, bundle", _WORKED_ONCE, action="build"),
    # A lag of the writes.
    *[
        _row(
            f"{what} is not known, {timing}",
            counting(processor_GitHubLag="1+", **counted),
            {**_UNKNOWN, **call, **bound},
            within=LONG_SECONDS if timing == "for ten minutes" else 60.0,
        )
        for what, call, later in (
            ("the commit of a run", _CREATE, {"processor_WorkSucceeded": 1}),
            # The work is done by then, and is not done again.
            ("the run that was created", _UPDATE, {"processor_WorkReused": 1}),
        )
        for timing, bound in TIMINGS.items()
        for counted in [later if timing == "for ten minutes" else {"processor_WorkSucceeded": 1}]
    ],
    # What a dead or doubtful attempt has shown is looked up before it is shown again.
    _row(
        "the runs of the commit are not known to the next attempt, once",
        counting(processor_GitHubLag="1+", processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        {**_CREATE, "cut": True, "times": 1},
        {**_UNKNOWN, **_LIST, "times": 1},
        within=90,
    ),
    _row(
        "the run is not known to the next attempt, once",
        counting(processor_GitHubLag="1+", processor_WorkDeferred="1+", processor_WorkReused=1),
        {**_UPDATE, "cut": True, "times": 1},
        {**_UNKNOWN, **_READ, "times": 1},
        within=90,
    ),
    # Doubtful writes: once, whether they happened or not.
    _row("its creation is answered 502", _AGAIN, {**_CREATE, "status": 502, "times": 1}, within=90),
    _row("its creation is taken and the answer cut", _AGAIN, {**_CREATE, "cut": True, "times": 1}, within=90),
    _row("its creation is taken and not answered in time", _AGAIN, {**_CREATE, "delay": 11, "times": 1}, within=120),
    _row("its completion is answered 502", _SHOWN_AGAIN, {**_UPDATE, "status": 502, "times": 1}, within=90),
    _row("its completion is taken and the answer cut", _SHOWN_AGAIN, {**_UPDATE, "cut": True, "times": 1}, within=90),
    _row("its completion is answered 409", _SHOWN_AGAIN, {**_UPDATE, "status": 409, "times": 1}, within=90),
    _row("its creation is answered 409", _AGAIN, {**_CREATE, "status": 409, "times": 1}, within=90),
    _row(
        "its creation is answered 429",
        counting(processor_WorkFailed=1, processor_WorkSucceeded=1),
        {"kind": "secondary_rate_limit", "seconds": 3600, "times": 1, **_CREATE},
        within=90,
    ),
    # The App may not, or not any more.
    _row(
        "the App may not write checks",
        counting(processor_ChecksNotPermitted=1, processor_WorkSucceeded=1, processor_WorkFailed=0),
        {**_CREATE, "status": 403},
    ),
    _row(
        "the App may not write checks any more when the work is done",
        counting(processor_ChecksNotPermitted=1, processor_WorkSucceeded=1, processor_WorkFailed=0),
        {**_UPDATE, "status": 403},
    ),
    _row("its completion is answered 422, once", _WORKED_ONCE, {**_UPDATE, "status": 422, "times": 1}),
    _row("its completion is answered 422, twice", _WORKED_ONCE, {**_UPDATE, "status": 422, "times": 2}),
    _row(
        "its creation is answered 422",
        replace(
            FAILS_AND_IS_REPLAYED,
            metrics=metrics(processor_WorkFailed=1, closing_StatusClosed=1, replay_ReplayStarted=1),
        ),
        {**_CREATE, "status": 422, "times": 1},
    ),
    # The base's policy.
    _row("the base's commit is not known where its policy is, once", _LAGS_ONCE, {**_UNKNOWN, **_POLICY, "times": 1}),
    _row("the policy is answered 502, once", _WORKED_ONCE, {**_POLICY, "status": 502, "times": 1}),
    _row("the policy is cut, once", _WORKED_ONCE, {**_POLICY, "cut": True, "times": 1}),
    _row(
        "the policy is answered 403",
        replace(FAILS_AND_IS_REPLAYED, metrics=metrics(processor_WorkFailed=1, closing_StatusClosed=1)),
        {**_POLICY, "status": 403, "times": 1},
    ),
    # Deaths.
    _row(
        "the processor is killed while the run is in progress",
        counting(processor_WorkSucceeded=1, crash_CrashReported=1),
        _SLOW,
        scene=scenes.killed_in_work,
        within=90,
    ),
    _row(
        "the processor is killed before it hears that the run was created",
        counting(processor_WorkSucceeded=1, crash_CrashReported=1),
        {**_CREATE, "delay": 4, "times": 1},
        scene=scenes.killed_in_write,
        within=120,
    ),
    _row(
        "the execution is aborted while the run is in progress",
        Expected(
            executions=("ABORTED", "SUCCEEDED success"),
            statuses=("pending", "error", "pending", "success"),
            metrics=metrics(closing_StatusClosed=1),
        ),
        _SLOW,
        scene=scenes.aborted_alive,
        within=90,
    ),
    _row(
        "the head moves on while the run is in progress",
        Expected(executions=("SUCCEEDED cancelled",), statuses=("pending", "error")),
        {**_FILES, "delay": 2, "times": 1},
        scene=scenes.pushed_while_working,
    ),
    _row("the work could not be done", FAILS_AND_IS_REPLAYED, GITHUB_REFUSES, scene=scenes.refused_and_closed),
]
