"""A stream that is alive and brings no text, over a transport that keeps no time limits."""

import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralTimeoutError

IDLE_SECONDS = 0.1


class _Comments(httpx.SyncByteStream):
    """Comments for much longer than a stream may be idle, then the end."""

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + 20 * IDLE_SECONDS
        while time.monotonic() < end:
            yield b": still here\n\n"


def test_comments_are_no_text_on_a_transport_of_the_caller() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=_Comments()))
    chat = ChatVoxtral(
        api_key=SecretStr("sk-made-up-key"),
        http_client=httpx.Client(transport=transport),
        stream_idle_timeout=IDLE_SECONDS,
    )
    with pytest.raises(VoxtralTimeoutError, match=r"brought no text for 0\.1 s"):
        list(chat.stream("Hello"))
