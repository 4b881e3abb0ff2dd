"""Record cassettes from real servers: `python tests/record.py embedded` or `hosted`.

Names of scenes after it record these alone; a recording that tells nothing new is left as it is.

`embedded` starts the embedded engine (the extras `local` and `local-speech`) and needs neither key
nor network once its weights are there. `hosted` asks DeepInfra, and only if one of its key
variables is set; without one it says so and leaves everything as it is, which is no failure.
"""

import logging
import os
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from support.cassettes.format import json_bytes
from support.cassettes.replay import CASSETTES, record
from support.cassettes.scenes import SCENES, SMALL_CONTEXT, Scene, play
from support.cassettes.speech_scenes import CHATS, HEARINGS, Hearing, hear

from langchain_voxtral import __version__
from langchain_voxtral.endpoint import DEEPINFRA_KEYS, DEEPINFRA_URL
from langchain_voxtral.errors import VoxtralError

HEARD: dict[str, Scene | Hearing] = {**CHATS, **HEARINGS}
ALL = SCENES | HEARD

HOSTED = (
    "chat_invoke",
    "chat_stream",
    "chat_conversation",
    "chat_stop",
    "chat_stop_stream",
    "chat_length",
    "chat_length_stream",
    "chat_schema",
    "llm_invoke",
    "llm_stream",
    "unknown_model",
    "wrong_key",
    *(name for name in HEARD if name != "speech_not_english"),
)
"""Scenes that make sense at DeepInfra: nobody makes a shared server busy for a recording, and
Voxtral hears French."""

ENDLESS = {
    "input": "Tell me a very long story.",
    "max_new_tokens": 3000,
    "response_format": {"type": "regex", "regex": "[a-z ,.]{9000}"},
    "stream": True,
}
"""A request that the embedded engine cannot finish quickly."""


def record_embedded(names: Collection[str]) -> bool:
    """Record scenes from the embedded engine; return whether all went as they should."""
    from langchain_voxtral.local import LocalVoxtral  # noqa: PLC0415 - needs the local extra
    from langchain_voxtral.local.engine.speech import SPEECH_MODEL  # noqa: PLC0415 - the same

    overflowing = [name for name in names if name.startswith("context_overflow")]
    refused = [name for name in names if name.startswith("busy_")]
    plain = [name for name in names if name not in {*overflowing, *refused}]
    results = []
    for group, server, surroundings in (
        (plain, LocalVoxtral(), _idle),
        (overflowing, LocalVoxtral(n_ctx=SMALL_CONTEXT), _idle),
        (refused, LocalVoxtral(queue_size=0), _occupied),
    ):
        if not group:
            continue
        with server:
            for name in group:
                models = (
                    f"{server.model_name} and {SPEECH_MODEL}"
                    if name in HEARD
                    else server.model_name
                )
                source = f"embedded: {models}, langchain-voxtral {__version__}"
                with surroundings(server.base_url, server.api_key):
                    results.append(
                        _record("embedded", name, source, server.base_url, server.api_key)
                    )
    return all(results)


def record_hosted(names: Collection[str]) -> bool:
    """Record scenes from DeepInfra; return whether all went as they should."""
    if not any(os.environ.get(name, "").strip() for name in DEEPINFRA_KEYS):
        _say(f"No DeepInfra key is set ({', '.join(DEEPINFRA_KEYS)}): nothing was recorded.")
        return True
    source = f"hosted: DeepInfra, langchain-voxtral {__version__}"
    results = [_record("hosted", name, source, DEEPINFRA_URL, None) for name in names]
    return all(results)


def _record(folder: str, name: str, source: str, base_url: str, api_key: str | None) -> bool:
    """Record one scene; an unexpected answer of a server is recorded too, and reported."""
    scene = ALL[name]
    path = CASSETTES / folder / f"{name}.yaml"
    with record(path, source):
        outcome = _outcome(scene, base_url, api_key)
    as_expected = type(outcome) is (scene.error or str)
    _say(f"{'ok' if as_expected else 'NOT AS EXPECTED'}  {path.name}: {outcome!r:.200}")
    return as_expected


def _outcome(scene: Scene | Hearing, base_url: str, api_key: str | None) -> str | VoxtralError:
    try:
        if isinstance(scene, Hearing):
            return "\n".join(heard.page_content for heard in hear(scene, base_url, api_key))
        return str(play(scene.model(base_url, api_key), scene).text)
    except VoxtralError as error:
        if error.status_code is None:
            raise  # nobody answered, so there is nothing to record
        return error


@contextmanager
def _idle(base_url: str, api_key: str) -> Iterator[None]:
    """Leave the engine as it is."""
    yield


@contextmanager
def _occupied(base_url: str, api_key: str) -> Iterator[None]:
    """Keep an engine without a queue busy until it has refused a request.

    The request that occupies it goes over a plain socket, which no cassette sees. It is cut as
    soon as the client announces that it will try again, so the second attempt is answered.
    """
    address = urlsplit(base_url)
    body = json_bytes(ENDLESS)
    head = (
        f"POST {address.path}/inference/mistralai/Voxtral-Mini-3B-2507 HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 80)) as occupant:
        occupant.sendall(head.encode() + body)
        if not occupant.recv(4096).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("The engine did not take the request that should occupy it.")
        retries = _OnRetry(occupant)
        logger = logging.getLogger("langchain_voxtral")
        logger.addHandler(retries)
        try:
            yield
        finally:
            logger.removeHandler(retries)


class _OnRetry(logging.Handler):
    """Closes a connection when the client says that it will send its request again."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, log: logging.LogRecord) -> None:
        if log.getMessage().startswith("Attempt 2 "):
            self._connection.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str]) -> int:
    """Record what the arguments name; 0 if all went as it should, 1 if not, 2 for usage."""
    recorders = {"embedded": (record_embedded, tuple(ALL)), "hosted": (record_hosted, HOSTED)}
    place, names = "".join(arguments[:1]), arguments[1:]
    record_from, known = recorders.get(place, (None, ()))
    if record_from is None or not set(names) <= set(known):
        _say(f"usage: python tests/record.py {'|'.join(recorders)} [SCENE...]")
        _say(f"scenes: {', '.join(known or ALL)}")
        return 2
    return 0 if record_from(names or known) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
