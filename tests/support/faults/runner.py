"""Run one fault: a scripted server, a model, one call and its outcome."""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import product
from typing import Any
from unittest.mock import patch

from support.call_modes import Caller, Model, Response
from support.scripted_server import ClosedPort, Reply, ScriptedServer
from support.sse_replies import streamed

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.transport.transport_choice import TRANSPORT_VARIABLE, TransportName

KEY = "sk-made-up-key-of-the-faults"
REQUEST_ID = "H1"
"""The request id in the headers of every reply."""


class Where(Enum):
    """What is at the model's address."""

    SERVER = auto()
    """The scripted server."""
    CLOSED_PORT = auto()
    """A port where no server listens."""
    REDIRECT = auto()
    """The scripted server, with a `Location` of another server in its replies."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call.

    Args:
        text: The text that the caller saw.
        error: Class of the error, None for success.
        requests: Requests that the servers received.
        attempts: Attempts that the answer or the error reports.
        partial: The error's partial text.
        request_id: The error's request id.
        says: Parts of the error's message; the whole message if one is missing.
        info: Usage, cost and other metadata of a success.
        key_shown: Whether the error shows the key.
        mebibytes: Peak memory if it was above the limit, else None.
    """

    text: str = ""
    error: type[Exception] | None = None
    requests: int = 1
    attempts: int = 1
    partial: str = ""
    request_id: str | None = None
    says: Sequence[str] = ()
    info: Mapping[str, object] = field(default_factory=dict)
    key_shown: bool = False
    mebibytes: int | None = None

    def verdict(self) -> str:
        """Return the outcome in a few words."""
        ending = f"raises {self.error.__name__}" if self.error else f"answers {self.text!r}"
        return ending if self.requests == 1 else f"{ending} after {self.requests} requests"


@dataclass(frozen=True, slots=True)
class Case:
    """A fault in one kind of call, and its expected outcome.

    Args:
        replies: The server's replies in order; the last one is repeated.
        outcome: The expected outcome.
        fields: Settings of the model.
        options: Options of the call.
        where: What is at the model's address.
        earlier: The reply to an earlier call of the same model.
        max_mebibytes: The memory limit; None does not measure it.
    """

    replies: Sequence[Reply]
    outcome: Outcome
    fields: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Where = Where.SERVER
    earlier: Reply | None = None
    max_mebibytes: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, in unstreamed and in streamed calls.

    Args:
        name: What goes wrong.
        invoke: Its case in an unstreamed call; None where it cannot happen.
        stream: Its case in a streamed call; None where it cannot happen.
    """

    name: str
    invoke: Case | None = None
    stream: Case | None = None


@dataclass(frozen=True, slots=True)
class CallMode:
    """A way to call a model: which class, streamed or not, async or sync, on which transport."""

    model_class: type[Model]
    streams: bool
    awaits: bool
    transport: TransportName = "httpx"

    def __str__(self) -> str:
        fast = " (fast)" if self.transport == "auto" else ""
        return f"{'chat' if self.model_class is ChatVoxtral else 'llm'}.{self.method}{fast}"

    @property
    def method(self) -> str:
        """The name of the method that is called."""
        return "a" * self.awaits + ("stream" if self.streams else "invoke")

    def case(self, fault: Fault) -> Case | None:
        """Return the case of a fault for this call mode."""
        return fault.stream if self.streams else fault.invoke


_MODEL_CLASSES: tuple[type[Model], ...] = (ChatVoxtral, VoxtralLLM)
CALL_MODES = tuple(
    CallMode(model_class, streams, awaits)
    for model_class, streams, awaits in product(_MODEL_CLASSES, (False, True), (False, True))
) + tuple(
    # One class is enough: what is below both is the same.
    CallMode(ChatVoxtral, streams, awaits=True, transport="auto")
    for streams in (False, True)
)


def run_case(case: Case, call_mode: CallMode) -> Outcome:
    """Run a case and return its outcome."""
    environment = {TRANSPORT_VARIABLE: call_mode.transport}
    with (
        patch.dict(os.environ, environment),
        asyncio.Runner() as runner,
        _servers(case) as servers,
    ):
        caller = Caller(call_mode.model_class, runner if call_mode.awaits else None)
        model = caller.model(servers[0], api_key=KEY, **case.fields)
        try:
            if case.earlier is not None:
                _ask(caller, model, call_mode, {}, [])
                if case.earlier.closes:
                    servers[0].wait_until_disconnected()
            with _memory(case.max_mebibytes) as taken:
                outcome = _outcome(case, caller, model, call_mode)
        finally:
            caller.close(model)
        requests = sum(len(server.requests) for server in servers)
    return replace(outcome, requests=requests, mebibytes=next(iter(taken), None))


def _outcome(case: Case, caller: Caller, model: Model, call_mode: CallMode) -> Outcome:
    expected, chunks = case.outcome, list[Response]()
    try:
        _ask(caller, model, call_mode, case.options, chunks)
    except Exception as error:  # noqa: BLE001 - whatever comes is the outcome
        text = "".join(chunk.text for chunk in chunks)
        message = f"{error} {error!r}"
        return Outcome(
            text=text,
            error=type(error),
            attempts=error.attempts if isinstance(error, VoxtralError) else 0,
            partial=error.partial if isinstance(error, VoxtralError) else "",
            request_id=error.request_id if isinstance(error, VoxtralError) else None,
            says=expected.says if all(word in message for word in expected.says) else [message],
            key_shown=KEY in message,
        )
    info = chunks[-1].info
    return Outcome(
        text="".join(chunk.text for chunk in chunks),
        attempts=info.get("attempts", 1),
        info={name: info.get(name) for name in expected.info},
    )


def _ask(
    caller: Caller,
    model: Model,
    call_mode: CallMode,
    options: Mapping[str, Any],
    chunks: list[Response],
) -> None:
    """Call the model and append each chunk that the caller sees to `chunks`."""
    if not call_mode.streams:
        chunks.append(caller.invoke(model, **options))
        return
    chunks.extend(caller.stream(model, **options))


@contextmanager
def _servers(case: Case) -> Iterator[list[ScriptedServer]]:
    """Start the servers of a case: the one at the model's address, and any other."""
    earlier = [] if case.earlier is None else [case.earlier]
    with ScriptedServer(default=streamed("elsewhere")) as other:
        headers = {"x-request-id": REQUEST_ID}
        if case.where is Where.REDIRECT:
            headers["location"] = f"{other.url}/inference/other"
        replies = [replace(reply, headers={**reply.headers, **headers}) for reply in case.replies]
        default = replies[-1] if replies else None
        server_class = ClosedPort if case.where is Where.CLOSED_PORT else ScriptedServer
        with server_class(*earlier, *replies, default=default) as server:
            yield [server, other]


@contextmanager
def _memory(max_mebibytes: int | None) -> Iterator[list[int]]:
    """Measure peak memory; the list that is yielded receives it if it is above the limit."""
    excess: list[int] = []
    if max_mebibytes is None:
        yield excess
        return
    gc.collect()
    tracemalloc.start()
    try:
        yield excess
        peak = tracemalloc.get_traced_memory()[1] >> 20
        if peak > max_mebibytes:
            excess.append(peak)
    finally:
        tracemalloc.stop()
