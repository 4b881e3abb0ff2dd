"""How a fault is played: a scripted server, a model, one call, and what came of it."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import product
from typing import Any

from support.call_modes import Caller, Model, Said
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import streamed

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError

KEY = "sk-made-up-key-of-the-faults"
REQUEST_ID = "H1"
"""What every reply has in its headers."""


class Where(Enum):
    """What a model finds at its address."""

    SERVER = auto()
    """The scripted server."""
    NOBODY = auto()
    """A port that nobody listens to."""
    SIGNPOST = auto()
    """The scripted server, whose replies send the client to another one by `Location`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call, as far as it matters.

    Args:
        text: The text that the caller saw.
        error: Class of the error, None for success.
        posts: Requests that the servers counted.
        attempts: Requests that the answer or the error tells of.
        partial: The error's partial text.
        request_id: The error's request id.
        says: Words in the error's message; the whole message, if it lacks one of them.
        info: Usage, cost and other metadata of a success.
        key_shown: Whether the error shows the key.
        mebibytes: Memory that was taken, None for no more than allowed.
    """

    text: str = ""
    error: type[Exception] | None = None
    posts: int = 1
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
        return ending if self.posts == 1 else f"{ending} after {self.posts} requests"


@dataclass(frozen=True, slots=True)
class Scene:
    """A fault in one kind of call, and its expected outcome.

    Args:
        replies: The server's script; the last reply is repeated for ever.
        outcome: What must come of it.
        fields: Settings of the model.
        options: Options of the call.
        where: What is at the model's address.
        earlier: What an earlier call of the same model was answered.
        most_mebibytes: Memory that the call may take; None does not measure it.
    """

    replies: Sequence[Reply]
    outcome: Outcome
    fields: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Where = Where.SERVER
    earlier: Reply | None = None
    most_mebibytes: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, in calls that want the whole answer and in calls that stream.

    Args:
        name: What goes wrong.
        invoke: Its scene in a call for the whole answer; None where it cannot happen.
        stream: Its scene in a streaming call; None where it cannot happen.
    """

    name: str
    invoke: Scene | None = None
    stream: Scene | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask a model: which face, streaming or not, awaiting or blocking."""

    face: type[Model]
    streams: bool
    awaits: bool

    def __str__(self) -> str:
        return f"{'chat' if self.face is ChatVoxtral else 'llm'}.{self.method}"

    @property
    def method(self) -> str:
        """The name of the method that is called."""
        return "a" * self.awaits + ("stream" if self.streams else "invoke")

    def scene(self, fault: Fault) -> Scene | None:
        """Return the scene of a fault that this way meets."""
        return fault.stream if self.streams else fault.invoke


_FACES: tuple[type[Model], ...] = (ChatVoxtral, VoxtralLLM)
WAYS = tuple(Way(*way) for way in product(_FACES, (False, True), (False, True)))


def happened(scene: Scene, way: Way) -> Outcome:
    """Play a scene; return what came of it, in the terms of what is expected."""
    with asyncio.Runner() as runner, _servers(scene) as servers:
        caller = Caller(way.face, runner if way.awaits else None)
        model = caller.model(servers[0], api_key=KEY, **scene.fields)
        try:
            if scene.earlier is not None:
                _ask(caller, model, way, {}, [])
                if scene.earlier.closes:
                    servers[0].await_gone()
            with _memory(scene.most_mebibytes) as taken:
                outcome = _outcome(scene, caller, model, way)
        finally:
            caller.close(model)
        posts = sum(len(server.requests) for server in servers)
    return replace(outcome, posts=posts, mebibytes=next(iter(taken), None))


def _outcome(scene: Scene, caller: Caller, model: Model, way: Way) -> Outcome:
    expected, said = scene.outcome, list[Said]()
    try:
        _ask(caller, model, way, scene.options, said)
    except Exception as error:  # noqa: BLE001 - whatever comes is the outcome
        text = "".join(chunk.text for chunk in said)
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
    info = said[-1].info
    return Outcome(
        text="".join(chunk.text for chunk in said),
        attempts=info.get("attempts", 1),
        info={name: info.get(name) for name in expected.info},
    )


def _ask(
    caller: Caller, model: Model, way: Way, options: Mapping[str, Any], said: list[Said]
) -> None:
    """Ask, and append to `said` what the caller sees, one by one."""
    if not way.streams:
        said.append(caller.invoke(model, **options))
        return
    said.extend(caller.stream(model, **options))


@contextmanager
def _servers(scene: Scene) -> Iterator[list[ScriptedServer]]:
    """Start the servers of a scene: the one at the model's address, and any other."""
    earlier = [] if scene.earlier is None else [scene.earlier]
    with ScriptedServer(default=streamed("elsewhere")) as other:
        headers = {"x-request-id": REQUEST_ID}
        if scene.where is Where.SIGNPOST:
            headers["location"] = f"{other.url}/inference/other"
        replies = [replace(reply, headers={**reply.headers, **headers}) for reply in scene.replies]
        default = replies[-1] if replies else None
        with ScriptedServer(*earlier, *replies, default=default) as server:
            if scene.where is not Where.NOBODY:
                yield [server, other]
        if scene.where is Where.NOBODY:
            yield [server, other]


@contextmanager
def _memory(most: int | None) -> Iterator[list[int]]:
    """Measure the most memory that Python takes within; yield where more than `most` goes."""
    excess: list[int] = []
    if most is None:
        yield excess
        return
    gc.collect()
    tracemalloc.start()
    try:
        yield excess
        peak = tracemalloc.get_traced_memory()[1] >> 20
        if peak > most:
            excess.append(peak)
    finally:
        tracemalloc.stop()
