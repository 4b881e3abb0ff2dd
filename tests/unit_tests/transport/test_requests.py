"""What is sent is what httpx builds itself, with all that a client was given."""

from typing import Any

import httpx
import pytest

from langchain_voxtral.transport.httpx_mapping import build_request
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import HTTPRequest, Timeouts

URL = "https://api.deepinfra.com/v1/inference/mistralai/Voxtral-Mini-3B-2507"
HEADERS = {
    "content-type": "application/json",
    "accept": "text/event-stream",
    "accept-encoding": "gzip, deflate",
    "user-agent": "langchain-voxtral/1",
    "authorization": "Bearer key-of-the-test",
}
TIMEOUTS = Timeouts(connect=3.0, read=7.0)


class Signing(httpx.Client):
    """A client that signs each request as it is built."""

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        """Add a header to what httpx builds."""
        request = super().build_request(*args, **kwargs)
        request.headers["X-Signature"] = "s"
        return request


def facts(request: httpx.Request) -> tuple[object, ...]:
    """Return all that decides what is sent."""
    return (
        request.method,
        request.url,
        request.headers.raw,
        request.content,
        request.extensions,
    )


@pytest.mark.parametrize("more", [{}, {"x-team": "a"}, {"host": "other.example"}])
@pytest.mark.parametrize(
    "client",
    [
        httpx.Client(),
        httpx.AsyncClient(),
        httpx.Client(headers={"X-Project": "p", "User-Agent": "mine", "Content-Type": "text/x"}),
        httpx.Client(headers=[("X-Twice", "1"), ("X-Twice", "2")]),
        httpx.Client(headers={"Host": "third.example"}),
        httpx.Client(headers={"Transfer-Encoding": "chunked"}),
        httpx.Client(params={"account": "a"}),
        httpx.Client(cookies={"session": "c"}),
        httpx.Client(base_url="https://proxy.example/v1"),
        Signing(),
    ],
)
def test_a_request_is_what_the_client_builds(
    client: httpx.Client | httpx.AsyncClient, more: dict[str, str]
) -> None:
    """Headers come in the client's order, with its own, parameters and cookies."""
    body = b'{"input":"Hi"}'
    request = HTTPRequest(URL, body, HEADERS | more, timeouts=TIMEOUTS)
    built = build_request(client, request, RetryState(request), is_stream=False)
    expected = client.build_request(
        "POST",
        URL,
        content=body,
        headers=request.headers,
        timeout=httpx.Timeout(connect=3.0, read=7.0, write=7.0, pool=7.0),
    )
    assert facts(built) == facts(expected)
