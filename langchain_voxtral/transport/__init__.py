"""HTTP: clients, retries, streaming. The only package that imports httpx."""

from httpx import AsyncClient, Client

from langchain_voxtral.transport.client_pool import ClientLease, ClientPool, ClientSettings
from langchain_voxtral.transport.event_loop import (
    is_in_event_loop,
    on_asyncio,
    running_loop,
    to_thread,
)
from langchain_voxtral.transport.exchange import apost, astream, post, stream
from langchain_voxtral.transport.request_log import RequestLog
from langchain_voxtral.transport.retry import read_header
from langchain_voxtral.transport.transport_choice import async_transport_class, read_transport_name
from langchain_voxtral.transport.types import (
    HTTPRequest,
    HTTPResponse,
    RetryPolicy,
    StreamDecoder,
    Timeouts,
)
from langchain_voxtral.transport.url_fetch import FetchPolicy, fetch_url

__all__ = [
    "AsyncClient",
    "Client",
    "ClientLease",
    "ClientPool",
    "ClientSettings",
    "FetchPolicy",
    "HTTPRequest",
    "HTTPResponse",
    "RequestLog",
    "RetryPolicy",
    "StreamDecoder",
    "Timeouts",
    "apost",
    "astream",
    "async_transport_class",
    "fetch_url",
    "is_in_event_loop",
    "on_asyncio",
    "post",
    "read_header",
    "read_transport_name",
    "running_loop",
    "stream",
    "to_thread",
]
