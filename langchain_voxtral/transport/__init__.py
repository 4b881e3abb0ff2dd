"""HTTP: clients and their life, retries, streaming. The only room that imports httpx."""

from httpx import AsyncClient, Client

from langchain_voxtral.transport.clients import Clients, ClientSettings, Lease
from langchain_voxtral.transport.exchange import apost, astream, post, stream
from langchain_voxtral.transport.fetching import FetchRules, afetch, fetch
from langchain_voxtral.transport.requests import Limits, Reply, Request, RetryPolicy, Sink

__all__ = [
    "AsyncClient",
    "Client",
    "ClientSettings",
    "Clients",
    "FetchRules",
    "Lease",
    "Limits",
    "Reply",
    "Request",
    "RetryPolicy",
    "Sink",
    "afetch",
    "apost",
    "astream",
    "fetch",
    "post",
    "stream",
]
