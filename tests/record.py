"""Record cassettes from real servers: `python tests/record.py embedded` or `hosted`.

Names of scenarios after it record only these. A cassette stays as it is if only ids and times
would change.

`embedded` starts the embedded engine (the extras `local` and `local-speech`); it needs no key, and
no network once the weights are downloaded. `hosted` calls DeepInfra if one of its key variables is
set; otherwise it prints that and exits with 0.
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
from support.cassettes.scenarios import SCENARIOS, SMALL_CONTEXT, Scenario, play
from support.cassettes.speech_scenarios import (
    CHATS,
    TRANSCRIPTIONS,
    TranscriptionScenario,
    transcribe,
)

from langchain_voxtral import __version__
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES, DEEPINFRA_URL

SPEECH_SCENARIOS: dict[str, Scenario | TranscriptionScenario] = {**CHATS, **TRANSCRIPTIONS}
ALL = SCENARIOS | SPEECH_SCENARIOS

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
    *(name for name in SPEECH_SCENARIOS if name != "speech_unknown_language"),
)
"""Scenarios that make sense at DeepInfra: a shared server cannot be made busy, and what it says of
a language that no model knows is not documented."""

ENDLESS = {
    "input": "Tell me a very long story.",
    "max_new_tokens": 3000,
    "response_format": {"type": "regex", "regex": "[a-z ,.]{9000}"},
    "stream": True,
}
"""A request that the embedded engine cannot finish quickly."""


def record_embedded(names: Collection[str]) -> bool:
    """Record scenarios from the embedded engine; return whether all outcomes are as expected."""
    from langchain_voxtral.local import LocalVoxtral  # noqa: PLC0415 - needs the local extra

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
                    f"{server.model_name} and {server.models.speech.name}"
                    if name in SPEECH_SCENARIOS
                    else server.model_name
                )
                source = f"embedded: {models}, langchain-voxtral {__version__}"
                with surroundings(server.base_url, server.api_key):
                    results.append(
                        _record("embedded", name, source, server.base_url, server.api_key)
                    )
    return all(results)


def record_hosted(names: Collection[str]) -> bool:
    """Record scenarios from DeepInfra; return whether all outcomes are as expected."""
    if not any(os.environ.get(name, "").strip() for name in DEEPINFRA_KEY_VARIABLES):
        _say(
            f"No DeepInfra key is set ({', '.join(DEEPINFRA_KEY_VARIABLES)}): nothing was recorded."
        )
        return True
    source = f"hosted: DeepInfra, langchain-voxtral {__version__}"
    results = [_record("hosted", name, source, DEEPINFRA_URL, None) for name in names]
    return all(results)


def _record(folder: str, name: str, source: str, base_url: str, api_key: str | None) -> bool:
    """Record one scenario; an unexpected response is recorded too, and reported."""
    scenario = ALL[name]
    path = CASSETTES / folder / f"{name}.yaml"
    with record(path, source):
        outcome = _outcome(scenario, base_url, api_key)
    as_expected = type(outcome) is (scenario.error or str)
    _say(f"{'ok' if as_expected else 'NOT AS EXPECTED'}  {path.name}: {outcome!r:.200}")
    return as_expected


def _outcome(
    scenario: Scenario | TranscriptionScenario, base_url: str, api_key: str | None
) -> str | VoxtralError:
    try:
        if isinstance(scenario, TranscriptionScenario):
            return "\n".join(
                document.page_content for document in transcribe(scenario, base_url, api_key)
            )
        return str(play(scenario.model(base_url, api_key), scenario).text)
    except VoxtralError as error:
        if error.status_code is None:
            raise  # no response, so there is nothing to record
        return error


@contextmanager
def _idle(base_url: str, api_key: str) -> Iterator[None]:
    """Leave the engine as it is."""
    yield


@contextmanager
def _occupied(base_url: str, api_key: str) -> Iterator[None]:
    """Keep an engine without a queue busy until it has refused a request.

    The request that occupies it goes over a plain socket, outside the cassette. It is closed as
    soon as the client logs its retry, so the second attempt succeeds.
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
    """Closes a connection when the client logs a retry."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, log: logging.LogRecord) -> None:
        if log.getMessage().startswith("Attempt 2 "):
            self._connection.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str]) -> int:
    """Record the named scenarios; return 0 if all is as expected, 1 if not, 2 for wrong usage."""
    recorders = {"embedded": (record_embedded, tuple(ALL)), "hosted": (record_hosted, HOSTED)}
    place, names = "".join(arguments[:1]), arguments[1:]
    record_from, known = recorders.get(place, (None, ()))
    if record_from is None or not set(names) <= set(known):
        _say(f"usage: python tests/record.py {'|'.join(recorders)} [SCENARIO...]")
        _say(f"scenarios: {', '.join(known or ALL)}")
        return 2
    return 0 if record_from(names or known) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
