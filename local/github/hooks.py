"""The webhooks of the local GitHub: what was sent where, what came back, and sending it again. In memory only."""

from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import urllib3

from local.github import deliveries, sample

HookName = Literal["repository", "organisation", "app"]
HOOK_NAMES: tuple[HookName, ...] = ("repository", "organisation", "app")

APP_ID = 1042117
APP_HOOK_ID = 471884200
ORGANISATION_HOOK_ID = 471884300
ORGANISATION_ID = 79124300
KEPT_SECONDS = 3 * 24 * 60 * 60
"""GitHub shows and redelivers deliveries for three days: docs.github.com, "Viewing webhook deliveries"."""
RESPONSE_MAX_BYTES = 64 * 1024

clock = time.time
"""Seconds since the epoch. Tests of what happens in hours put another one here."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a hook's deliveries go."""

    url: str
    secret: str
    timeout: float
    """Seconds to connect, and to wait for bytes of the answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event, as it ended."""

    id: int
    guid: str
    """The event's: a redelivery has the same."""
    delivered_at: float
    """When it began, in seconds since the epoch."""
    redelivery: bool
    duration: float
    """Seconds."""
    status: str
    status_code: int
    event: str
    action: str | None
    installation_id: int | None
    url: str
    request_headers: dict[str, str]
    body: bytes
    response_headers: dict[str, str] | None
    """None when there was no answer."""
    response_body: str | None


class UnknownDeliveryError(LookupError):
    """There is no such delivery, or not any longer."""


class HookNotSetError(LookupError):
    """Nobody has said where the hook's deliveries go."""


class Hooks:
    """The hooks of repository, organisation and App, and their deliveries. Shared by the server's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hooks: dict[HookName, Hook] = {}
        self._deliveries: dict[HookName, list[Delivery]] = {name: [] for name in HOOK_NAMES}
        self._next_id = 28_000_000_001
        self._redelivering: set[threading.Thread] = set()

    def set(self, name: HookName, hook: Hook) -> None:
        """Sets or changes where a hook's deliveries go, redeliveries of earlier ones included."""
        with self._lock:
            self._hooks[name] = hook

    def deliver(self, name: HookName, event: str, body: bytes, *, guid: str | None = None, ago: float = 0) -> Delivery:
        """Signs and sends an event, once, and remembers what came of it.

        Args:
            name: the hook.
            event: the event's name.
            body: the payload's bytes.
            guid: the delivery's; None for a new one.
            ago: date the delivery back by so many seconds. What a sweep does with old deliveries need not be waited
                for then.

        Raises:
            HookNotSetError: see there.
        """
        return self._attempt(name, event, body, guid or str(uuid.uuid4()), ago=ago, redelivery=False)

    def redeliver(self, name: HookName, number: int) -> None:
        """Sends the same bytes with the same GUID again, in a thread of its own.

        Raises:
            HookNotSetError, UnknownDeliveryError: see there.
        """
        first = self.get(name, number)
        with self._lock:
            if name not in self._hooks:
                raise HookNotSetError(name)

        def again() -> None:
            try:
                self._attempt(name, first.event, first.body, first.guid, ago=0, redelivery=True)
            finally:
                with self._lock:
                    self._redelivering.discard(thread)

        thread = threading.Thread(target=again, name=f"redelivery-{number}", daemon=True)
        with self._lock:
            self._redelivering.add(thread)
        thread.start()

    def list(self, name: HookName) -> list[Delivery]:
        """The deliveries that GitHub still shows, newest first."""
        oldest = clock() - KEPT_SECONDS
        with self._lock:
            kept = [delivery for delivery in self._deliveries[name] if delivery.delivered_at >= oldest]
        return sorted(kept, key=lambda delivery: (delivery.delivered_at, delivery.id), reverse=True)

    def get(self, name: HookName, number: int) -> Delivery:
        """One delivery.

        Raises:
            UnknownDeliveryError: see there.
        """
        found = next((delivery for delivery in self.list(name) if delivery.id == number), None)
        if found is None:
            raise UnknownDeliveryError(number)
        return found

    def pending(self) -> int:
        """Redeliveries that were accepted and have not ended yet."""
        with self._lock:
            return len(self._redelivering)

    def wait(self, timeout: float) -> bool:
        """Waits for accepted redeliveries; False when some still run after so many seconds."""
        deadline = time.monotonic() + timeout
        while self.pending():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _attempt(self, name: HookName, event: str, body: bytes, guid: str, *, ago: float, redelivery: bool) -> Delivery:
        with self._lock:
            hook = self._hooks.get(name)
        if hook is None:
            raise HookNotSetError(name)
        headers = _headers(name, event, guid, deliveries.sign(hook.secret, body))
        delivered_at, start = clock() - ago, time.monotonic()
        answer = _send(hook, body, headers)
        duration = round(time.monotonic() - start, 3)
        with self._lock:
            delivery = Delivery(
                id=self._next_id,
                guid=guid,
                delivered_at=delivered_at,
                redelivery=redelivery,
                duration=duration,
                event=event,
                action=_action(body),
                installation_id=sample.INSTALLATION_ID if name == "app" else None,
                url=hook.url,
                request_headers=headers,
                body=body,
                **answer,
            )
            self._next_id += 1
            self._deliveries[name].append(delivery)
        return delivery


def _headers(name: HookName, event: str, guid: str, signature: str) -> dict[str, str]:
    headers = deliveries.headers(event, guid, signature)
    if name == "app":
        headers |= {
            "X-GitHub-Hook-ID": str(APP_HOOK_ID),
            "X-GitHub-Hook-Installation-Target-ID": str(APP_ID),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
    if name == "organisation":
        headers |= {
            "X-GitHub-Hook-ID": str(ORGANISATION_HOOK_ID),
            "X-GitHub-Hook-Installation-Target-ID": str(ORGANISATION_ID),
            "X-GitHub-Hook-Installation-Target-Type": "organization",
        }
    return headers


def _send(hook: Hook, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Sends once and describes the end in GitHub's words: what has no answer counts as its gateway's 502 or 504."""
    try:
        with urllib3.PoolManager(retries=False) as http:
            response = http.request("POST", hook.url, body=body, headers=headers, timeout=hook.timeout, redirect=False)
    except urllib3.exceptions.TimeoutError as error:
        # A refused connection is one of urllib3's time-outs too.
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            return _no_answer("failed to connect to host", 502)
        return _no_answer("timed out", 504)
    except (urllib3.exceptions.HTTPError, OSError):
        return _no_answer("failed to connect to host", 502)
    return {
        "status": "OK" if 200 <= response.status < 300 else f"Invalid HTTP Response: {response.status}",
        "status_code": response.status,
        "response_headers": dict(response.headers),
        "response_body": response.data[:RESPONSE_MAX_BYTES].decode(errors="replace"),
    }


def _no_answer(status: str, status_code: int) -> dict[str, Any]:
    return {"status": status, "status_code": status_code, "response_headers": None, "response_body": None}


def _action(body: bytes) -> str | None:
    try:
        payload = json.loads(body)
    except ValueError:
        return None
    action = payload.get("action") if isinstance(payload, dict) else None
    return action if isinstance(action, str) else None
