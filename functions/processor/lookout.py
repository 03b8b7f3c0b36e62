"""While work runs: whether somebody still wants it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from processor.errors import Overtaken
from pullrequest.errors import WorkError

if TYPE_CHECKING:
    from collections.abc import Callable


class Lookout:
    """A checkpoint that also asks GitHub, now and then, whether a newer push or the pull request's end made it vain.

    Args:
        checkpoint: the attempt's own; may raise.
        overtaken: asks GitHub: the reason, or None.
        interval: seconds between two questions.
        clock: seconds.
    """

    def __init__(
        self,
        checkpoint: Callable[[], None],
        overtaken: Callable[[], str | None],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoint = checkpoint
        self._overtaken = overtaken
        self._interval = interval
        self._clock = clock
        self._next = clock() + interval

    def __call__(self) -> None:
        """Raises what the attempt's checkpoint raises, and Overtaken."""
        self._checkpoint()
        if self._clock() < self._next:
            return
        reason = None
        try:
            reason = self._overtaken()
        except WorkError:
            # An outage costs nothing here: before the result is shown GitHub is asked again, and has to answer.
            self._checkpoint()
        self._next = self._clock() + self._interval
        if reason is not None:
            raise Overtaken(reason)
