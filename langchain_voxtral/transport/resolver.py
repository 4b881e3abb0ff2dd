"""Addresses of hosts, looked up in threads that nobody has to wait for."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from ipaddress import ip_address

import httpcore


def _look_up(host: str, port: int) -> Future[list[str]]:
    """Return a host's addresses, to come from a thread that nobody has to wait for.

    Nothing ends a resolver that hangs, and event loops wait for the threads of their own executor.
    """
    addresses: Future[list[str]] = Future()
    addresses.set_running_or_notify_cancel()

    def run() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            addresses.set_exception(error)

    threading.Thread(target=run, name="voxtral-resolver", daemon=True).start()
    return addresses


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def resolve(host: str, port: int, seconds: float | None) -> list[str]:
    """Return the addresses of a host.

    Raises:
        TimeoutError: The resolver did not answer in time.
        OSError, UnicodeError: The name is not known, or no name.
    """
    return [host] if _is_address(host) else _look_up(host, port).result(seconds)


async def aresolve(host: str, port: int) -> list[str]:
    """Do what `resolve` does, asynchronously; the caller limits the time."""
    return [host] if _is_address(host) else await asyncio.wrap_future(_look_up(host, port))


@contextmanager
def connect_errors() -> Iterator[None]:
    """Raise failures to connect as httpcore's errors."""
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
