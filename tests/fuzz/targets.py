"""All targets: what an engine feeds bytes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fuzz import contents, entrances, policies, queues, stored

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    ``run`` takes any bytes, says in a few words what came of them, and raises when they break something.
    """

    name: str
    run: Callable[[bytes], str]
    seeds: Callable[[], list[bytes]]
    """Inputs to start from: good ones, and some of each kind."""
    max_bytes: int = 4096


TARGETS = {
    target.name: target
    for target in (
        Target("webhook", entrances.webhook, entrances.webhook_seeds, max_bytes=65_536),
        Target("projection", entrances.project, entrances.projection_seeds, max_bytes=65_536),
        Target("task", entrances.task, entrances.task_seeds),
        Target("processor", entrances.processor, entrances.processor_seeds, max_bytes=16_384),
        Target("dead_work", queues.dead_work, queues.message_seeds),
        Target("replay", queues.replay, queues.replay_seeds),
        Target("crash", queues.crash, queues.crash_seeds),
        Target("closing", queues.closing, queues.closing_seeds),
        Target("archive", contents.archive, contents.archive_seeds, max_bytes=16_384),
        Target("syntax", contents.syntax, contents.syntax_seeds),
        Target("diff", contents.diff, contents.diff_seeds),
        Target("secret", stored.secret, stored.secret_seeds),
        Target("policy", policies.policy, policies.policy_seeds, max_bytes=20_000),
    )
}


def prepare() -> None:
    """Loads the handlers, so that an engine can instrument them before the first input."""
    for handler in (*entrances.HANDLERS, *queues.HANDLERS):
        handler()
