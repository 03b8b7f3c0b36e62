"""The fault proxy: microburst on a port of its own, between the functions and the embedded AWS.

    python -m local.fault_proxy --port-file FILE --upstream-port-file FILE [--exit-with-parent]

The functions' environment comes from the embedded AWS, which therefore must know the proxy's port before it starts, and
the proxy must know the embedded AWS' port: it reads it from a file at the first request, which no function sends
before that file is there. Rules come and go through microburst's control API, below ``/_microburst``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

from aiohttp import web
from microburst import forward  # type: ignore[import-untyped]
from microburst.app import make_app  # type: ignore[import-untyped]
from microburst.core.pipeline import Microburst  # type: ignore[import-untyped]

from local.process import announce_port, exit_with_parent

# microburst leaves the length of answers out, and the objects of S3 would have none.
forward.HOP_BY_HOP -= {"content-length"}


class LateUpstream(Microburst):  # type: ignore[misc] # microburst has no types
    """A microburst that learns where its upstream is when the first request arrives, and can lose whole answers.

    Its own ``abort_bytes`` cuts a body, and an answer without one would arrive: with 0 the request is carried out, and
    the connection then ends without a byte.
    """

    def __init__(self, upstream_port_file: Path) -> None:
        super().__init__(upstream="http://127.0.0.1:0")
        self._upstream_port_file: Path | None = upstream_port_file
        self._relay, self.upstream.relay = self.upstream.relay, self._relay_or_lose

    async def handle_proxy(self, request: web.Request) -> Any:
        """Answers one request of a function."""
        if self._upstream_port_file is not None:
            self.upstream.base_url = f"http://127.0.0.1:{self._upstream_port_file.read_text()}"
            self._upstream_port_file = None
        return await super().handle_proxy(request)

    async def _relay_or_lose(
        self, request: web.Request, body: bytes | None, mutator: Any = None, data: Any = None
    ) -> Any:
        if mutator is None or mutator.abort_bytes != 0:
            return await self._relay(request, body, mutator=mutator, data=data)
        async with self.upstream.session.request(
            request.method,
            self.upstream.base_url + request.rel_url.raw_path_qs,
            headers=self.upstream._outbound_headers(request),  # noqa: SLF001
            data=await request.read() if body is None else body,
        ) as answer:
            await answer.read()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def main() -> None:
    """Runs the proxy until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.fault_proxy", description="Run the fault proxy on loopback.")
    parser.add_argument("--port-file", type=Path, required=True, help="written with the port as soon as it answers")
    parser.add_argument("--upstream-port-file", type=Path, required=True, help="will hold the embedded AWS' port")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input is closed")
    options = parser.parse_args()
    if options.exit_with_parent:
        exit_with_parent()
    asyncio.run(serve(LateUpstream(options.upstream_port_file), options.port_file))


async def serve(microburst: LateUpstream, port_file: Path) -> None:
    """Serves until SIGTERM or SIGINT."""
    # Held requests (latency, timeouts) are not waited for.
    runner = web.AppRunner(make_app(microburst), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    announce_port(port_file, runner.addresses[0][1])
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
