"""uvicorn, as a guest in somebody else's process."""

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

__all__ = ["Listener", "listener"]


class _Quiet(H11Protocol):
    """Writes no access log, and no traceback when a client sends what is no HTTP.

    `Config(access_log=False)` would empty uvicorn's loggers for the whole process, which may
    well run a uvicorn of its own; for the same reason no logging is configured below.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        # The request was fine up to its body, and its answer is on its way: too late.
        if self.cycle is not None:
            self.cycle.disconnected = True


class Listener(uvicorn.Server):
    """A uvicorn server that says when it answers, or that it never will.

    uvicorn imports parts of itself in the thread that it runs in. A process that is forked in
    the middle of that leaves its child half-imported modules, so nobody goes on before it is over.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.failure: BaseException | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; a failure to begin is kept for whoever waits."""
        try:
            super().run(sockets)
        except BaseException as error:
            if self.started:
                raise
            self.failure = error
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self.settled.set()


def listener(app: "App") -> Listener:
    """Return a server for an application; outside of the main thread it handles no signals."""
    return Listener(
        uvicorn.Config(
            app,
            http=_Quiet,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
