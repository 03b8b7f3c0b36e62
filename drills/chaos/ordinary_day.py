"""The table's section "GitHub on an ordinary day": late, renamed, odd, with a credential that was just rotated.

None of it is an outage, and none of it may cost a result: docs/reliability.md, "What an answer of GitHub's means".

A lag lasts from the first answer that it changes. Those of 60 s and more are scaled as the state machine's waits are
(``rig.WAIT_SCALE``), so that they end in the same of its attempts or in an earlier one; the pauses within an attempt
are what they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drills.chaos import scenes
from drills.chaos.fault import FAILS_AND_IS_REPLAYED, GITHUB_REFUSES, Fault, counting, metrics
from drills.chaos.model import Expected
from drills.chaos.rig import WAIT_SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drills.chaos.scenes import Scene

NAME = "GitHub on an ordinary day"
ACTIONS = {"synchronize": "report", "build": "bundle"}
"""By action what people call its work."""

TIMINGS: Mapping[str, Mapping[str, Any]] = {
    "once": {"times": 1},
    "for 5 s": {"lasts": 5},
    "for 60 s": {"lasts": 60 * WAIT_SCALE},
    "for ten minutes": {"lasts": 600 * WAIT_SCALE},
}
LONG_SECONDS = 120.0
"""That an execution may take which ten minutes of lag keep from its end."""

_READ = {"path": r"/pulls/\d+$"}
_FILES = {"path": r"/pulls/\d+/files$"}
_WRITE = {"method": "POST", "path": "/statuses/"}
_LINK = {"path": "/tarball/"}
_ARCHIVE = {"path": "/_codeload/"}
_PASS = {**_WRITE, "times": 1}
"""A fault that is none, for the first of two writes."""
_SLOW: Mapping[str, Mapping[str, Any]] = {
    "synchronize": {**_FILES, "delay": 2.5, "times": 1},
    "build": {**_LINK, "delay": 2.5, "times": 1},
}
_HTML = {"status": 200, "body": "<!DOCTYPE html>\n<title>Unicorn!</title>\n<p>We're having a moment.</p>\n"}


def _each(
    what: str, fault: Mapping[str, Any], scene: Scene | None = None, actions: tuple[str, ...] = tuple(ACTIONS)
) -> list[Fault]:
    """A row for each action and timing of a lag."""
    return [
        Fault(
            f"{NAME}: {what}, {timing}, {ACTIONS[action]}",
            counting(processor_GitHubLag="1+", processor_WorkSucceeded=1),
            action=action,
            github=({**fault, **bound},),
            scene=scene,
            within=LONG_SECONDS if timing == "for ten minutes" else 60.0,
        )
        for action in actions
        for timing, bound in TIMINGS.items()
    ]


_UNKNOWN = {"kind": "lag"}
_OLDER = {"kind": "lag", "lag": "older"}
_LAGS = [
    *_each("nothing is known of the event", _UNKNOWN),
    *_each("the pull request is not known", {**_UNKNOWN, **_READ}),
    *_each("its files are not known", {**_UNKNOWN, **_FILES}, actions=("synchronize",)),
    *_each("the archive's commit is not known", {**_UNKNOWN, **_LINK}, actions=("build",)),
    *_each("the archive is not there", {**_UNKNOWN, **_ARCHIVE}, actions=("build",)),
    *_each("422 to a status, for its commit is not known", {**_UNKNOWN, **_WRITE}),
    *_each("404 to a status", {"status": 404, **_WRITE}),
    *_each("the head is that of before the push", {**_OLDER, **_READ}, scenes.pushed),
    *_each("the files are those of before the push", {**_OLDER, **_FILES}, scenes.pushed, ("synchronize",)),
    # The result's status, when the work is done: it is not done again.
    *[
        Fault(
            f"{NAME}: 422 to the result's status, once, {work}",
            counting(processor_GitHubLag="1+", processor_WorkSucceeded=1),
            action=action,
            github=(_PASS, {**_UNKNOWN, **_WRITE, "times": 1}),
        )
        for action, work in ACTIONS.items()
    ],
    # What a dead or doubtful attempt has shown is looked up before it is shown again.
    Fault(
        f"{NAME}: 404 to the list of statuses, once",
        counting(processor_GitHubLag="1+", processor_WorkDeferred="1+", processor_WorkSucceeded=1),
        github=({**_WRITE, "status": 502, "times": 1}, {**_UNKNOWN, "method": "GET", "path": "/statuses", "times": 1}),
        within=90,
    ),
    # The closing function does not wait: its message comes again.
    *[
        Fault(
            f"{NAME}: {status} to the status that is to be closed, {timing}",
            replace(
                FAILS_AND_IS_REPLAYED,
                metrics=metrics(closing_MessageReturned="1+", closing_StatusClosed=1, closing_MessageQuarantined=0),
            ),
            github=(GITHUB_REFUSES, {**fault, **_WRITE, **bound}),
            impatient=("ended",),
            scene=scenes.refused_and_closed,
            lasts_until="quiet",
            within=LONG_SECONDS,
        )
        for status, fault in ((422, _UNKNOWN), (404, {"status": 404}))
        for timing, bound in TIMINGS.items()
    ],
]

_FOLLOWED = counting(processor_GitHubRedirected="1+", processor_WorkSucceeded=1, processor_WorkFailed=0)
_RENAMED = [
    *[
        Fault(f"{NAME}: the repository was renamed, {work}", _FOLLOWED, action=action, scene=scenes.renamed)
        for action, work in ACTIONS.items()
    ],
    *[
        Fault(
            f"{NAME}: the repository is renamed while the work is done, {work}",
            _FOLLOWED,
            action=action,
            github=(_SLOW[action],),
            scene=scenes.renamed_while_working,
        )
        for action, work in ACTIONS.items()
    ],
    Fault(
        f"{NAME}: the repository is renamed before a status is closed",
        replace(
            FAILS_AND_IS_REPLAYED,
            metrics=metrics(closing_GitHubRedirected="1+", closing_StatusClosed=1, closing_MessageReturned=0),
        ),
        github=(GITHUB_REFUSES,),
        scene=scenes.refused_and_closed_after_a_rename,
    ),
]

_ODD = [
    Fault(
        f"{NAME}: {what} in place of {of}, {timing}",
        counting(processor_WorkFailed=times, processor_WorkSucceeded=1),
        action=action,
        github=({**call, **odd, "times": times},),
    )
    for of, action, call in (
        ("the archive", "build", _ARCHIVE),
        ("the pull request", "synchronize", _READ),
        ("the files", "synchronize", _FILES),
    )
    for what, odd in (("a page of HTML", _HTML), ("half of it", {"short": True}))
    # Five attempts the state machine makes.
    for timing, times in (("once", 1), ("in four attempts", 4))
]
_ODD_WRITE = Fault(
    f"{NAME}: a page of HTML as the answer to a status",
    # Nobody can say whether the status was set: the next attempt waits until the write must be over, and looks.
    counting(processor_WorkFailed=1, processor_WorkDeferred="1+", processor_WorkSucceeded=1),
    github=({**_WRITE, **_HTML, "times": 1},),
    within=90,
)

_BASE_CHANGED = Expected(
    answers=("202 started",) * 3,
    executions=("SUCCEEDED success",) * 3,
    # Once for each base; the third delivery finds the result of the second.
    statuses=("pending", "success") * 2,
    metrics=metrics(processor_WorkSucceeded=2, processor_WorkReused=1),
)
_BASES = [
    Fault(f"{NAME}: the base is changed", _BASE_CHANGED, scene=scenes.base_changed),
    *[
        Fault(
            f"{NAME}: the base is changed, and the old one is answered, {timing}",
            replace(_BASE_CHANGED, metrics={**_BASE_CHANGED.metrics, **metrics(processor_GitHubLag="1+")}),
            github=({**_OLDER, **_READ, **bound},),
            scene=scenes.base_changed,
            within=LONG_SECONDS if timing == "for ten minutes" else 60.0,
        )
        for timing, bound in TIMINGS.items()
    ],
]

_AT_ONCE = counting(processor_WorkSucceeded=1, processor_WorkFailed=0)
_CREDENTIALS = [
    *[
        Fault(
            f"{NAME}: an App, and deliveries that name no installation, {work}",
            Expected(
                answers=("202 started",) * 2,
                executions=("SUCCEEDED success",) * 2,
                statuses=("pending", "success") * 2,
                objects=4 if action == "build" else 0,
                metrics=metrics(processor_WorkSucceeded=2, processor_WorkFailed=0),
            ),
            action=action,
            cold=("processor", "closing"),
            scene=scenes.app_without_installation,
        )
        for action, work in ACTIONS.items()
    ],
    *[
        Fault(f"{NAME}: 401 to {what}, once", _AT_ONCE, action=action, github=({**call, "status": 401, "times": 1},))
        for what, action, call in (
            ("the pull request", "synchronize", _READ),
            ("the files", "synchronize", _FILES),
            ("the archive's link", "build", _LINK),
            ("the pending status", "synchronize", _WRITE),
        )
    ],
    *[
        Fault(
            f"{NAME}: 401 to the result's status, once, {work}",
            _AT_ONCE,
            action=action,
            github=(_PASS, {**_WRITE, "status": 401, "times": 1}),
        )
        for action, work in ACTIONS.items()
    ],
    Fault(
        f"{NAME}: 401 to the status that is to be closed, once",
        replace(FAILS_AND_IS_REPLAYED, metrics=metrics(closing_MessageReturned=0, closing_StatusClosed=1)),
        github=(GITHUB_REFUSES, {**_WRITE, "status": 401, "times": 1}),
        scene=scenes.refused_and_closed,
        lasts_until="quiet",
    ),
    *[
        Fault(
            f"{NAME}: {what} while the work is done, {work}",
            _AT_ONCE,
            action=action,
            github=(_SLOW[action],),
            cold=("processor", "closing"),
            scene=scene,
        )
        for what, scene in (
            ("the token is rotated", scenes.token_rotated_while_working),
            ("the App's token is revoked", scenes.app_revoked_while_working),
        )
        for action, work in ACTIONS.items()
    ],
]

ORDINARY_DAY = [*_LAGS, *_RENAMED, *_ODD, _ODD_WRITE, *_BASES, *_CREDENTIALS]
