"""If a server echoes the key, in any spelling, no error, log or trace shows it."""

import asyncio
import json
import logging
import pickle
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.tracers import LangChainTracer
from pydantic import SecretStr
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import HELLO_ANSWER, HELLO_TEXT, Server, streaming, token_event
from support.key_echoes import SHAPES, TOKEN_CHARACTERS, Shape, echoes, keys
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.redaction import Secrets, redact

PIECE = 12
"""Characters of a key in a row that must not be seen anywhere."""


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect the output of all loggers at every level."""
    logged: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(self.format(record) + repr(vars(record)))

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield logged
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes and contexts."""
    yield error
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None and earlier is not error:
            yield from chain(earlier)


def views(error: VoxtralError) -> Iterator[str]:
    for one in chain(error):
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
    yield "".join(traceback.format_exception(error))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(error, protocol).decode("latin-1")


def unescaped(text: str) -> str:
    text = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\+(.)", r"\1", text)


def pieces_in(key: str, shown: str) -> list[str]:
    """Return the parts of a key in a text, in any case or escaping."""
    forms = [form.lower() for form in (shown, unquote(shown), unescaped(shown))]
    pieces = (key[at : at + PIECE].lower() for at in range(len(key) - PIECE + 1))
    return [piece for piece in pieces if any(piece in form for form in forms)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@settings(max_examples=8)
@given(data=st.data())
def test_no_part_of_an_echoed_key_is_shown(shape: Shape, data: st.DataObject) -> None:
    key = data.draw(keys)
    model_class = data.draw(st.sampled_from([ChatVoxtral, VoxtralLLM]))
    call_mode = data.draw(st.sampled_from(CALL_MODES))
    server, recorder = Server(), TraceRecorder()
    server.answer = data.draw(shape(data.draw(echoes(key))))
    model = model_class(api_key=SecretStr(key), max_retries=0, **server.settings)
    with everything_logged() as logged, pytest.raises(VoxtralError) as caught:
        asyncio.run(
            ask(
                model, call_mode, "Hello!", config={"callbacks": [LangChainTracer(client=recorder)]}
            )
        )
    (run,) = recorder.model_runs
    assert run["error"]
    shown = [*views(caught.value), *logged, recorder.everything]
    assert [(pieces_in(key, text), text) for text in shown if pieces_in(key, text)] == []


def test_a_retried_call_logs_no_part_of_a_key() -> None:
    key = TOKEN_CHARACTERS[:40]
    server = Server()
    server.answer = lambda _: httpx.Response(
        429, json={"detail": f"{key[:20]} {key[20:]}"}, headers={"retry-after": "0"}
    )
    with everything_logged() as logged, pytest.raises(VoxtralError):
        ChatVoxtral(api_key=SecretStr(key), **server.settings).invoke("Hello!")
    assert len(server.requests) == 3
    assert any('The server said: "[redacted] [redacted]"' in text for text in logged)
    assert [text for text in logged if pieces_in(key, text)] == []


@pytest.mark.parametrize("call_mode", ["invoke", "stream"])
def test_a_request_id_that_holds_the_key_is_not_shown_with_an_answer(call_mode: str) -> None:
    key = TOKEN_CHARACTERS[:40]
    server = Server()
    final = {"details": {"finish_reason": "stop"}, "num_output_tokens": 1, "request_id": key}
    server.answer = lambda _: (
        httpx.Response(200, json=HELLO_ANSWER | {"request_id": key})
        if call_mode == "invoke"
        else streaming(token_event(HELLO_TEXT), f"data: {json.dumps(final)}\n\n".encode())
    )
    chat = ChatVoxtral(api_key=SecretStr(key), **server.settings)
    answer: AIMessage = chat.invoke("Hi") if call_mode == "invoke" else sum_of_stream(chat)
    assert answer.text == HELLO_TEXT
    assert answer.response_metadata["request_id"] == "[redacted]"


@pytest.mark.parametrize("call_mode", ["invoke", "stream"])
def test_a_finish_reason_that_holds_the_key_is_not_shown_with_an_answer(call_mode: str) -> None:
    key = TOKEN_CHARACTERS[:40]
    server = Server()
    choice = {"message": {"role": "assistant", "content": HELLO_TEXT}, "finish_reason": key}
    final = {"details": {"finish_reason": key}, "num_output_tokens": 1, "num_input_tokens": 1}
    server.answer = lambda _: (
        httpx.Response(200, json={"choices": [choice]})
        if call_mode == "invoke"
        else streaming(token_event(HELLO_TEXT), f"data: {json.dumps(final)}\n\n".encode())
    )
    api: Any = "chat_completions" if call_mode == "invoke" else "native"
    chat = ChatVoxtral(api_key=SecretStr(key), api=api, **server.settings)
    answer: AIMessage = chat.invoke("Hi") if call_mode == "invoke" else sum_of_stream(chat)
    assert answer.text == HELLO_TEXT
    assert answer.response_metadata["finish_reason"] == "[redacted]"


def sum_of_stream(chat: ChatVoxtral) -> AIMessage:
    first, *others = chat.stream("Hi")
    for chunk in others:
        first += chunk
    return first


def test_the_text_of_an_answer_is_not_redacted() -> None:
    """A model does not know the key, so its text is not changed, complete or partial."""
    key = TOKEN_CHARACTERS[:40]
    server = Server()
    server.answer = lambda _: streaming(token_event(key))
    chat = ChatVoxtral(api_key=SecretStr(key), max_retries=0, **server.settings)
    with pytest.raises(VoxtralError) as caught:
        _ = list(chat.stream("Hi"))
    assert caught.value.partial == key
    assert pieces_in(key, str(caught.value)) == []


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_client_that_follows_redirects_takes_neither_key_nor_body_elsewhere(
    model_class: type[ChatVoxtral | VoxtralLLM], call_mode: str, status: int
) -> None:
    server = Server()
    for client in server.settings.values():
        client.follow_redirects = True
    server.answer = lambda _: httpx.Response(status, headers={"location": "https://evil.example/"})
    model = model_class(api_key=SecretStr("k" * 20), **server.settings)
    with pytest.raises(VoxtralResponseError, match="redirects are not followed"):
        await ask(model, call_mode, "Hello!")
    assert [request.url.host for request in server.requests] == ["api.deepinfra.com"]


# The function alone


@given(keys, st.text(max_size=30), st.text(max_size=30))
def test_text_around_a_key_is_kept(key: str, before: str, after: str) -> None:
    """A space prevents that the text before is read as an escape of the key's first letter."""
    assert redact(f"{before} {key} {after}", [key]) == f"{before} [redacted] {after}"


@given(keys, st.integers(0, 50), st.integers(1, 60))
def test_parts_of_a_key_are_redacted_from_twelve_characters(
    key: str, start: int, length: int
) -> None:
    piece = key[start : start + length]
    shown = redact(f"<{piece}>", [key])
    assert shown == ("<[redacted]>" if len(piece) >= PIECE else f"<{piece}>")


def test_a_short_key_redacts_no_similar_words() -> None:
    assert redact("The body is empty: EMPTY", ["EMPTY"]) == "The body is empty: [redacted]"


def test_secrets_of_a_request_have_eight_characters() -> None:
    secrets = Secrets(("1234567", "abcdefgh"))
    assert redact("1234567 abcdefgh", secrets) == "1234567 [redacted]"


@given(st.text(TOKEN_CHARACTERS + "\"<>&'", min_size=PIECE))
def test_a_key_is_found_in_json_in_json(key: str) -> None:
    shown = redact(json.dumps(json.dumps({"x": key})), [key])
    assert shown.replace("\\", "") == '"{"x": "[redacted]"}"'
