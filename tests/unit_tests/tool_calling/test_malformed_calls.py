"""Cut or malformed calls: nothing is guessed, and nothing is lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from support.call_modes import CALL_MODES, sum_of
from support.completion_requests import SENT, completion_request
from support.scripted_server import End, ScriptedServer, Step
from support.sse_replies import events
from support.tool_calls import (
    LYON,
    NOW_TOOL,
    PARIS,
    WEATHER_TOOL,
    chunks_of,
    get_message,
    with_ids_of,
)
from support.tool_dialects import CHAT, Dialect, Native, ScriptedCall, in_every_dialect, in_prompts

from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.completions.tools import ToolCallParsing
from langchain_voxtral.errors import VoxtralError, VoxtralIncompleteStreamError

TOOLS = [WEATHER_TOOL, NOW_TOOL]
TEXT = "Let me look that up."
CUT = ScriptedCall("get_weather", '{"city": "P\\u00e2ris", "in": [{"x": 1}, "]"]}', "cutAAAAA1")
CUT_ARGUMENTS = {"city": "Pâris", "in": [{"x": 1}, "]"]}
MOST_TOKENS = 25
"""The number of tokens that the scripted server reports, so that an unstreamed answer is cut."""


def cuts_of(dialect: Dialect, call: ScriptedCall) -> Iterator[tuple[int, str | None]]:
    """Yield each position to cut a call at, and its arguments so far, or None."""
    written = dialect.written("", [call]) if isinstance(dialect, Native) else call.arguments
    begin = written.index(call.arguments)
    for size in range(dialect.length(call)):
        yield size, call.arguments[: size - begin] if size > begin else None


@in_every_dialect
@pytest.mark.parametrize(
    ("call_mode", "most"),
    [*[(call_mode, None) for call_mode in CALL_MODES], ("invoke", MOST_TOKENS)],
)
async def test_a_call_that_is_cut_anywhere_is_invalid_or_still_text(
    dialect: Dialect, call_mode: str, most: int | None
) -> None:
    places = list(cuts_of(dialect, CUT))
    answers = [dialect.begun(CUT, size) for size, _ in places]
    replies = [dialect.reply(call_mode, *answer, reason="length") for answer in answers]
    with ScriptedServer(*replies) as server:
        chat = dialect.chat(server, max_tokens=most).bind_tools(TOOLS)
        for (_, so_far), (text, _) in zip(places, answers, strict=True):
            answer = await get_message(chat, call_mode)
            if so_far == CUT.arguments:
                assert (answer.content, answer.invalid_tool_calls) == ("", [])
                assert [call["args"] for call in answer.tool_calls] == [CUT_ARGUMENTS]
                continue
            assert answer.tool_calls == []
            if so_far is None and not answer.invalid_tool_calls:
                assert answer.content == text
                continue
            with_ids_of(dialect, answer, [CUT])
            [call] = answer.invalid_tool_calls
            name = CUT.name if so_far is not None or call["name"] else ""
            assert (answer.content, call["name"], call["id"]) == ("", name, CUT.id)
            # Before the arguments, the text so far is kept, or only the name.
            kept = str(call["args"]) and text if so_far is None else so_far
            assert str(call["args"]).startswith(kept)
            assert call["args"] == kept or "stream" in call_mode


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_of_several_calls_only_the_one_that_is_cut_is_invalid(
    dialect: Dialect, call_mode: str
) -> None:
    text = dialect.written(TEXT, [PARIS, LYON]) if isinstance(dialect, Native) else TEXT
    calls = [PARIS, ScriptedCall(LYON.name, LYON.arguments[:-4], LYON.id)]
    if isinstance(dialect, Native):
        text, calls = text[: text.index("yon")], []
    with ScriptedServer(dialect.reply(call_mode, text, calls, reason="length")) as server:
        bound = dialect.chat(server, max_tokens=MOST_TOKENS).bind_tools(TOOLS)
        answer = with_ids_of(dialect, await get_message(bound, call_mode), [PARIS, LYON])
    assert (answer.content, answer.response_metadata["finish_reason"]) == (TEXT, "length")
    assert [(call["id"], call["args"]) for call in answer.tool_calls] == [
        (PARIS.id, {"city": "Paris"})
    ]
    [invalid] = answer.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == (LYON.id, "get_weather")
    assert str(invalid["args"]).startswith('{"city": "L')


BROKEN = {
    "a comma too many": '{"city": "Paris",}',
    "a comma too few": '{"city": "Paris" "days": 3}',
    "no quotes": "{city: Paris}",
    "single quotes": "{'city': 'Paris'}",
    "Python's words": '{"city": None}',
    "not a number": '{"city": NaN}',
    "an escape that is none": r'{"city": "\q"}',
    "a line break in a string": '{"city": "Pa\nris"}',
    "a bracket that fits nothing": '{"city": ["Paris"}}',
    "a comment": '{"city": "Paris" /* sic */}',
    "a value that is missing": '{"city": }',
}


@in_every_dialect
@pytest.mark.parametrize("arguments", BROKEN.values(), ids=BROKEN)
async def test_arguments_that_are_not_json_are_invalid_and_kept_as_written(
    dialect: Dialect, arguments: str
) -> None:
    call = ScriptedCall("get_weather", arguments, "brokenAA1")
    with ScriptedServer(
        *[dialect.reply(call_mode, TEXT, [call]) for call_mode in CALL_MODES]
    ) as server:
        chat = dialect.chat(server).bind_tools(TOOLS)
        for call_mode in CALL_MODES:
            answer = with_ids_of(dialect, await get_message(chat, call_mode), [call])
            assert (answer.content, answer.tool_calls) == (TEXT, [])
            [invalid] = answer.invalid_tool_calls
            assert (invalid["name"], invalid["id"]) == ("get_weather", "brokenAA1")
            assert str(invalid["args"]).startswith(arguments)
            if "stream" not in call_mode:
                assert invalid["args"] == arguments
                assert "not JSON" in str(invalid["error"])


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("arguments", ['"Paris"', "[]", "3", "null", "true"])
async def test_arguments_that_are_json_but_not_an_object_are_invalid(
    call_mode: str, arguments: str
) -> None:
    call = ScriptedCall("get_weather", arguments)
    with ScriptedServer(CHAT.reply(call_mode, TEXT, [call])) as server:
        answer = await get_message(CHAT.chat(server).bind_tools(TOOLS), call_mode)
    assert answer.tool_calls == []
    assert [(call["name"], call["id"]) for call in answer.invalid_tool_calls] == [
        ("get_weather", call.id)
    ]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_malformed_call_does_not_affect_the_others(
    dialect: Dialect, call_mode: str
) -> None:
    broken = ScriptedCall("get_weather", '{"city": Paris}', "brokenAA1")
    with ScriptedServer(dialect.reply(call_mode, "", [broken, LYON])) as server:
        answer = await get_message(dialect.chat(server).bind_tools(TOOLS), call_mode)
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Lyon"}]
    assert [call["name"] for call in answer.invalid_tool_calls] == ["get_weather"]


@in_prompts
@pytest.mark.parametrize("written", ["I cannot do that.", "null", ""])
async def test_text_instead_of_a_forced_call_stays_text(dialect: Native, written: str) -> None:
    """A server that violates the constraint that it accepted."""
    with ScriptedServer(*[dialect.reply(call_mode, written) for call_mode in CALL_MODES]) as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], tool_choice="any")
        for call_mode in CALL_MODES:
            answer = await get_message(chat, call_mode)
            assert (answer.content, answer.tool_calls) == (written, [])
            assert answer.invalid_tool_calls == []


@in_prompts
@pytest.mark.parametrize("written", ['{"city": "Paris"}', "[]", "{", '[{"name": 3}]'])
async def test_other_json_instead_of_a_forced_call_is_an_invalid_call(
    dialect: Native, written: str
) -> None:
    with ScriptedServer(*[dialect.reply(call_mode, written) for call_mode in CALL_MODES]) as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], tool_choice="any")
        for call_mode in CALL_MODES:
            answer = await get_message(chat, call_mode)
            assert (answer.content, answer.tool_calls) == ("", [])
            [invalid] = answer.invalid_tool_calls
            assert str(invalid["args"]).startswith(written)
            assert (invalid["args"] == written) or "stream" in call_mode


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_connection_that_breaks_within_a_call_is_an_error_with_the_text_before_it(
    dialect: Dialect, call_mode: str
) -> None:
    tokens = dialect.tokens(TEXT, [CUT])[:-8]
    with ScriptedServer(events(*tokens, End.CUT)) as server:
        with pytest.raises(VoxtralIncompleteStreamError) as caught:
            await chunks_of(dialect.chat(server).bind_tools(TOOLS), call_mode)
        assert len(server.requests) == 1
    assert caught.value.partial == TEXT


@in_every_dialect
@pytest.mark.parametrize("missing", [0, 5])
async def test_a_connection_that_breaks_leaves_the_text_of_an_unknown_call(
    dialect: Dialect, missing: int
) -> None:
    text = '{"name": "get_wether", "parameters": {"city": "Paris"}}'
    tokens = dialect.texts(text[: len(text) - missing])
    with (
        ScriptedServer(events(*tokens, End.CUT)) as server,
        pytest.raises(VoxtralIncompleteStreamError) as caught,
    ):
        await chunks_of(dialect.chat(server).bind_tools(TOOLS), "stream")
    assert caught.value.partial == text[: len(text) - missing]


class Listener(BaseCallbackHandler):
    """Records chunks, including those before an error."""

    run_inline = True

    def __init__(self) -> None:
        self.chunks: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.chunks.append(chunk.message)


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_ends_within_a_call_never_shows_its_end(
    dialect: Dialect, call_mode: str
) -> None:
    tokens = dialect.tokens(TEXT, [CUT])[:-8]
    listener = Listener()
    with ScriptedServer(events(*tokens, End.CUT)) as server:
        bound = dialect.chat(server).bind_tools(TOOLS)
        with pytest.raises(VoxtralIncompleteStreamError):
            await chunks_of(bound, call_mode, config={"callbacks": [listener]})
    assert [chunk.chunk_position for chunk in listener.chunks] == [None] * len(listener.chunks)
    assert sum_of(listener.chunks).text == TEXT


@in_prompts
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_is_cut_within_a_call_is_resumed(
    dialect: Native, call_mode: str
) -> None:
    tokens, written = dialect.tokens(TEXT, [CUT, PARIS]), dialect.written(TEXT, [CUT, PARIS])
    place = len(tokens) // 2
    replies = [
        events(*tokens[:place], End.CUT),
        events(*tokens[place:], dialect.last()),
    ]
    with ScriptedServer(*replies) as server:
        bound = dialect.chat(server, max_stream_resumes=1).bind_tools(TOOLS)
        answer = with_ids_of(dialect, await get_message(bound, call_mode), [CUT, PARIS])

    first, second = (request.body for request in server.requests)
    assert second == first | {"input": first["input"] + written[: 3 * place]}
    metadata = answer.response_metadata
    assert (metadata["resumes"], metadata["cost_complete"]) == (1, False)
    assert answer.content == TEXT
    assert [call["args"] for call in answer.tool_calls] == [CUT_ARGUMENTS, {"city": "Paris"}]


@in_prompts
def test_wherever_a_stream_is_cut_its_calls_are_complete(dialect: Native) -> None:
    """The stream is cut at every token: in a special token, a name, a bracket."""
    tokens, written = dialect.tokens(TEXT, [CUT, PARIS]), dialect.written(TEXT, [CUT, PARIS])
    request = completion_request(max_resumes=1, tool_parsing=ToolCallParsing(["get_weather"]))
    for place in range(1, len(tokens)):
        stream = CompletionStream(request, SENT)
        stream.start_attempt({}, 1)
        items = [item for read in tokens[:place] for item in stream.feed(read)]
        with pytest.raises(VoxtralError) as caught:
            items.extend(stream.finish())
        content = stream.resume_request(caught.value).content
        assert isinstance(content, bytes)
        sent = json.loads(content)
        assert sent["input"] == "Q:" + written[: 3 * place]
        stream.start_attempt({}, 2)
        items += [item for read in tokens[place:] for item in stream.feed(read)]
        items += stream.feed(dialect.last())
        whole = stream.completion(items)
        assert whole.text == TEXT
        assert [call.arguments for call in whole.tool_calls] == [CUT_ARGUMENTS, {"city": "Paris"}]


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_forced_call_that_is_cut_is_never_resumed(dialect: Dialect, call_mode: str) -> None:
    """The server's grammar would start again."""
    tokens: list[Step] = [*dialect.tokens("", [CUT])[:-8], End.CUT]
    with ScriptedServer(events(*tokens), dialect.streamed("", [CUT])) as server:
        chat = dialect.chat(server, max_stream_resumes=3)
        with pytest.raises(VoxtralIncompleteStreamError) as caught:
            await chunks_of(chat.bind_tools(TOOLS, tool_choice="any"), call_mode)
        assert len(server.requests) == 1
    assert caught.value.partial == ""


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_call_that_was_cut_before_its_arguments_has_none(
    call_mode: str, reason: str
) -> None:
    call = ScriptedCall("get_weather", "", "abcdef123")
    with ScriptedServer(CHAT.reply(call_mode, "", [call], reason=reason)) as server:
        answer = await get_message(CHAT.chat(server).bind_tools(TOOLS), call_mode)
    assert (answer.tool_calls, len(answer.invalid_tool_calls)) == ([], 1)


@in_prompts
async def test_log_probabilities_leave_a_broken_call_as_it_was_written(dialect: Native) -> None:
    written = dialect.written("", [CUT])[:-30]
    with ScriptedServer(
        dialect.streamed(written, reason="length"), dialect.whole(written)
    ) as server:
        chat = dialect.chat(server).bind_tools(TOOLS)
        with_logprobs = chat.invoke("?", logprobs=True).invalid_tool_calls
        plain = chat.invoke("?").invalid_tool_calls
    assert [call["args"] for call in with_logprobs] == [call["args"] for call in plain]
    assert [call["error"] for call in with_logprobs] == ["the answer was cut within the call"]
