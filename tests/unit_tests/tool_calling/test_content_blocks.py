"""Tool calls as content blocks: `output_version="v1"`, and the events of version 3."""

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from support.call_modes import CALL_MODES, sum_of
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import events
from support.tool_calls import LYON, NOW_TOOL, PARIS, WEATHER_TOOL, chunks_of, get_message
from support.tool_dialects import USAGE, Dialect, ScriptedCall, in_every_dialect

TOOLS = [WEATHER_TOOL, NOW_TOOL]
BEFORE, AFTER = "Let me look that up.", "That is all."
ARGUMENTS = [{"city": "Paris"}, {"city": "Lyon"}]
in_beta = pytest.mark.filterwarnings("ignore:.* is in beta")


def with_text_after(dialect: Dialect) -> Reply:
    """Return a stream of a text, two calls, and more text."""
    calls = [PARIS, LYON]
    after = AFTER if dialect.has_ids or dialect.name == "mistral" else f"\n{AFTER}"
    tokens = [*dialect.tokens(BEFORE, calls), *dialect.texts(after)]
    return events(*tokens, dialect.last(dialect.reason(calls)))


def plain(blocks: list[Any]) -> list[dict[str, Any]]:
    """Return blocks without generated values: ids and merge indices."""
    return [
        {name: value for name, value in block.items() if name not in {"id", "index"}}
        for block in blocks
    ]


def of_text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def of_calls() -> list[dict[str, Any]]:
    return [{"type": "tool_call", "name": "get_weather", "args": args} for args in ARGUMENTS]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_blocks_are_the_text_and_each_call(
    dialect: Dialect, call_mode: str, version: str
) -> None:
    with ScriptedServer(dialect.reply(call_mode, BEFORE, [PARIS, LYON])) as server:
        bound = dialect.chat(server, output_version=version).bind_tools(TOOLS)
        answer = await get_message(bound, call_mode)
    assert plain(answer.content_blocks) == [of_text(BEFORE), *of_calls()]
    assert [call["args"] for call in answer.tool_calls] == ARGUMENTS
    assert answer.usage_metadata == USAGE
    if version == "v1":
        assert isinstance(answer.content, list)


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_no_text_is_merged_with_a_call(
    dialect: Dialect, call_mode: str, version: str
) -> None:
    with ScriptedServer(with_text_after(dialect)) as server:
        bound = dialect.chat(server, output_version=version).bind_tools(TOOLS)
        answer = sum_of(await chunks_of(bound, call_mode))
    assert [call["args"] for call in answer.tool_calls] == ARGUMENTS
    assert answer.invalid_tool_calls == []
    blocks = plain(answer.content_blocks)
    assert [block for block in blocks if block["type"] == "tool_call"] == of_calls()
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    assert "".join(texts).replace("\n", "") == BEFORE + AFTER


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_blocks_keep_their_order_however_the_stream_arrives(
    dialect: Dialect, call_mode: str
) -> None:
    apart = with_text_after(dialect)
    together = replace(apart, steps=[b"".join(step for step in apart.steps if step)])  # type: ignore[misc]
    with ScriptedServer(apart, together) as server:
        bound = dialect.chat(server, output_version="v1").bind_tools(TOOLS)
        first, second = [sum_of(await chunks_of(bound, call_mode)) for _ in range(2)]
    assert plain(first.content_blocks) == plain(second.content_blocks)
    kinds = ["text", "tool_call", "tool_call", "text"]
    assert [block["type"] for block in first.content_blocks] == kinds


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_only_calls_are_blocks_without_an_empty_text(
    dialect: Dialect, call_mode: str
) -> None:
    with ScriptedServer(dialect.streamed("", [PARIS, LYON])) as server:
        bound = dialect.chat(server, output_version="v1").bind_tools(TOOLS)
        answer = sum_of(await chunks_of(bound, call_mode))
    assert plain(answer.content_blocks) == of_calls()


async def events_of(model: Any, call_mode: str) -> tuple[list[Any], AIMessage]:
    """Return the events of a version 3 stream, and its message."""
    if call_mode == "stream_events":
        stream = model.stream_events("Hello!", version="v3")
        return list(stream), stream.output
    stream = await model.astream_events("Hello!", version="v3")
    return [event async for event in stream], await stream.output


@in_beta
@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream_events", "astream_events"])
async def test_events_of_version_3_are_a_valid_sequence_of_text_and_calls(
    dialect: Dialect, call_mode: str
) -> None:
    stream_checks = pytest.importorskip("langchain_tests.utils.stream_lifecycle")
    with ScriptedServer(dialect.streamed(BEFORE, [PARIS, LYON])) as server:
        events, answer = await events_of(dialect.chat(server).bind_tools(TOOLS), call_mode)

    stream_checks.assert_valid_event_stream(events)
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert plain(finished) == [of_text(BEFORE), *of_calls()]
    assert plain(answer.content_blocks) == [of_text(BEFORE), *of_calls()]
    assert [call["args"] for call in answer.tool_calls] == ARGUMENTS
    assert answer.usage_metadata == USAGE
    reason = dialect.reason([PARIS])
    assert answer.response_metadata["finish_reason"] == reason


@in_beta
@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream_events", "astream_events"])
async def test_events_of_version_3_separate_text_after_calls(
    dialect: Dialect, call_mode: str
) -> None:
    stream_checks = pytest.importorskip("langchain_tests.utils.stream_lifecycle")
    with ScriptedServer(with_text_after(dialect)) as server:
        events, answer = await events_of(dialect.chat(server).bind_tools(TOOLS), call_mode)
    stream_checks.assert_valid_event_stream(events)
    assert [call["args"] for call in answer.tool_calls] == ARGUMENTS
    assert str(answer.text).replace("\n", "") == BEFORE + AFTER


@in_beta
@in_every_dialect
@pytest.mark.parametrize("call_mode", ["stream_events", "astream_events"])
async def test_events_of_version_3_show_a_broken_call_as_invalid(
    dialect: Dialect, call_mode: str
) -> None:
    broken = ScriptedCall("get_weather", '{"city": "Paris" "days": 3}')
    with ScriptedServer(dialect.streamed(BEFORE, [broken])) as server:
        _, answer = await events_of(dialect.chat(server).bind_tools(TOOLS), call_mode)
    assert answer.tool_calls == []
    [invalid] = answer.invalid_tool_calls
    assert (invalid["name"], len(str(invalid["id"]))) == ("get_weather", 9)
