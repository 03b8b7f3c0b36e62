"""While work runs GitHub is asked, once an interval, whether somebody still wants it."""

from __future__ import annotations

import pytest

from processor.errors import DeadlineExceeded, Overtaken
from processor.lookout import Lookout
from pullrequest.errors import GitHubUnavailable

NEWER = "superseded by ccccccc"


class Stage:
    def __init__(self, *answers: str | Exception | None) -> None:
        self.time = 0.0
        self.asked = 0
        self.answers = list(answers)
        self.stops: Exception | None = None
        self.lookout = Lookout(self.checkpoint, self.overtaken, 30, lambda: self.time)

    def checkpoint(self) -> None:
        if self.stops:
            raise self.stops

    def overtaken(self) -> str | None:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def at(self, time: float) -> None:
        self.time = time
        self.lookout()


def test_it_asks_once_an_interval() -> None:
    stage = Stage()
    for second in range(95):
        stage.at(second)
    assert stage.asked == 3


def test_a_newer_push_ends_the_work_within_an_interval() -> None:
    stage = Stage(None, NEWER)
    stage.at(30)
    with pytest.raises(Overtaken, match=NEWER):
        stage.at(60)


def test_an_outage_ends_nothing_and_is_asked_about_again() -> None:
    stage = Stage(GitHubUnavailable("away"), NEWER)
    stage.at(30)
    stage.at(59)
    with pytest.raises(Overtaken):
        stage.at(60)


def test_the_attempts_own_end_is_told_first() -> None:
    stage = Stage(NEWER)
    stage.stops = DeadlineExceeded("nearly up")
    with pytest.raises(DeadlineExceeded):
        stage.at(60)
    assert stage.asked == 0


def test_what_ends_while_github_is_asked_is_told() -> None:
    stage = Stage()

    def overtaken() -> str | None:
        stage.stops = DeadlineExceeded("nearly up")
        raise GitHubUnavailable("away")

    lookout = Lookout(stage.checkpoint, overtaken, 30, lambda: stage.time)
    stage.time = 30
    with pytest.raises(DeadlineExceeded):
        lookout()
