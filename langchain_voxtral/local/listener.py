"""uvicorn as a guest in another program's process."""

import socket
import threading
from typing import TYPE_CHECKING, Any

from langchain_voxtral.errors import VoxtralMissingExtraError

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise VoxtralMissingExtraError("uvicorn") from error

if TYPE_CHECKING:
    from langchain_voxtral.local.api.app import App


class _QuietProtocol(H11Protocol):
    """Writes no access log, and no traceback when a client sends what is no HTTP.

    `Config(access_log=False)` would empty uvicorn's loggers for the whole process, which may
    run a uvicorn of its own; for the same reason no logging is configured below.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        # A request that was valid up to its body has a response of its own, which is too late.
        if self.cycle is not None:
            self.cycle.disconnected = True


class Listener(uvicorn.Server):
    """A uvicorn server whose start can be waited for; outside the main thread it takes no signals.

    uvicorn imports parts of itself in the thread it runs in. If the process forked then, its
    child would have half-imported modules, so nobody continues before `is_settled`.
    """

    def __init__(self, app: "App") -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_QuietProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.is_settled = threading.Event()
        """Set when the server answers, or has failed to start."""
        self.failure: BaseException | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit`; a failure to start is kept in `failure`."""
        try:
            super().run(sockets)
        except BaseException as error:
            if self.started:
                raise
            self.failure = error
        finally:
            self.is_settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and set `is_settled`."""
        await super().startup(sockets)
        self.is_settled.set()
