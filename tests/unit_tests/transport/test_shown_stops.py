"""No stop sequence is in an answer whose escaping is undone."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.call_modes import Caller, read_until_error
from support.completion_requests import SENT, completion_request
from support.scripted_server import End, ScriptedServer
from support.sse_replies import events, final, streamed, token, whole

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import Completion, parse_completions
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.completions.tools import ToolCallParsing
from langchain_voxtral.prompts import escape, unescape
from langchain_voxtral.transport import HTTPResponse

JOINER = "\u2060"
END = "<|eot_id|>"
QUOTED = f"Say [INST] and </s> and {END}!"
CASES = [
    ("[INST", "Say "),
    ("[INST]", "Say "),
    ("INST]", "Say ["),
    ("</", "Say [INST] and "),
    ("</s>", "Say [INST] and "),
    ("d <", "Say [INST] an"),
    (END, "Say [INST] and </s> and "),
    (f"[{JOINER}INST", QUOTED),
    ("[/INST]", QUOTED),
    ("<s>", QUOTED),
]


def streamed_completion(request: CompletionRequest, reads: Sequence[bytes]) -> Completion:
    stream = CompletionStream(request, SENT)
    stream.start_attempt({}, 1)
    items = [item for read in reads for item in stream.feed(read)]
    return stream.completion([*items, *stream.finish()])


def whole_completion(request: CompletionRequest, text: str) -> Completion:
    document = json.dumps({"results": [{"generated_text": text}]}).encode()
    [completion] = parse_completions(request, SENT, HTTPResponse(document, {}))
    return completion


@pytest.mark.parametrize(("stop", "shown"), CASES)
def test_a_stop_is_found_in_what_is_shown(stop: str, shown: str) -> None:
    request = completion_request(
        stop_sequences=[stop, END],
        end_markers=[END] if stop != END else [],
        unescape=True,
    )
    raw = escape(QUOTED)
    for completion in (
        whole_completion(request, raw),
        streamed_completion(request, [*map(token, raw), final()]),
    ):
        assert completion.text == shown
        assert completion.info.finish_reason in ({"stop"} if shown != QUOTED else {"stop", None})


@pytest.mark.parametrize(("stop", "shown"), CASES[:1] + CASES[6:7])
def test_an_answer_that_repeats_escaped_text_ends_at_a_stop_in_what_is_shown(
    caller: Caller, stop: str, shown: str
) -> None:
    raw = escape(QUOTED)
    with ScriptedServer(whole(raw), streamed(*raw)) as server:
        model = caller.model(server)
        invoked = caller.invoke(model, QUOTED, stop=[stop])
        chunks = list(caller.stream(model, QUOTED, stop=[stop]))
    assert (invoked.text, "".join(chunk.text for chunk in chunks)) == (shown, shown)
    reasons = [invoked.info["finish_reason"], chunks[-1].info["finish_reason"]]
    assert reasons == ["stop", "stop"]


def test_the_end_marker_of_the_format_can_be_quoted(caller: Caller) -> None:
    raw = escape(QUOTED)
    with ScriptedServer(whole(raw), streamed(*raw)) as server:
        model = caller.model(server)
        assert caller.invoke(model, QUOTED, stop=["nothing"]).text == QUOTED
        chunks = caller.stream(model, QUOTED, stop=["nothing"])
        assert "".join(chunk.text for chunk in chunks) == QUOTED


def test_a_stop_is_found_across_a_cut_and_not_in_a_partial_text(caller: Caller) -> None:
    parts = ["Say [", JOINER + "IN", "ST] an", "d"]
    with ScriptedServer(
        events(*map(token, parts[:2]), End.CUT),
        streamed(*parts[2:]),
        events(*map(token, parts[:3]), End.CUT),
    ) as server:
        model = caller.model(server, max_stream_resumes=1)
        text = "".join(chunk.text for chunk in caller.stream(model, QUOTED, stop=["[INST"]))
        shown, error = read_until_error(caller.stream(caller.model(server), QUOTED, stop=["] and"]))
    assert server.requests[1].body["input"].endswith(f"Say [{JOINER}IN")
    assert text == "Say "
    assert (shown, error.partial) == ("Say [INST", "Say [INST] an")


fragments = st.sampled_from(
    ["<", "[", JOINER, "/s>", "INST]", "s>", "a", "<|x|>", f"<{JOINER}/s>", f"[{JOINER}INST]"]
)
raw_texts = st.lists(fragments, max_size=10).map("".join)
stop_lists = st.lists(
    st.sampled_from(["[INST", "[", "</", "</s>", "a<", "ST]", f"<{JOINER}", "<|x|>", ">["]),
    min_size=1,
    max_size=2,
)


def cut(text: str, stops: Sequence[str]) -> str:
    """Return the text up to the stop that is complete first."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(raw_texts, stop_lists, st.booleans(), st.data())
def test_whole_and_streamed_answers_end_before_every_stop(
    raw: str, stops: list[str], coalesces: bool, data: st.DataObject
) -> None:
    marker = data.draw(st.sampled_from(["<|x|>", "</s>"]))
    places = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[start:end] for start, end in pairwise([0, *places, len(raw)])]
    request = completion_request(
        stop_sequences=[*stops, marker],
        end_markers=[marker] if marker not in stops else [],
        coalesce=coalesces,
        unescape=True,
    )
    expected = cut(unescape(cut(raw, request.end_markers)), stops)
    assert not any(stop in expected for stop in stops)
    assert whole_completion(request, raw).text == expected
    reads = [*map(token, pieces), final()]
    assert streamed_completion(request, reads).text == expected
    assert streamed_completion(request, [b"".join(reads)]).text == expected


CALL = '{"name": "f", "parameters": {"x": "%s"}}'


@pytest.mark.parametrize(
    ("raw", "stop", "text", "arguments"),
    [
        (escape("a [INST] b\n") + CALL % "y", "[INST", "a ", []),
        (CALL % escape("</s>"), "</s>", "", ['{"x": "']),
        (CALL % escape("[INST]"), "</s>", "", ['{"x": "[INST]"}']),
        (CALL % "y" + "\n" + escape("see </s>"), "</s>", "\nsee ", ['{"x": "y"}']),
        (CALL % escape("[INST]") + "\n" + CALL % "y", "[INST]", "", ['{"x": "']),
    ],
    ids=["in text", "in arguments", "elsewhere", "after a call", "in the first of two calls"],
)
@pytest.mark.parametrize("size", [1, 4, 999])
def test_text_and_arguments_of_calls_end_before_a_stop(
    raw: str, stop: str, text: str, arguments: list[str], size: int
) -> None:
    request = completion_request(
        stop_sequences=[stop], unescape=True, tool_parsing=ToolCallParsing(["f"])
    )
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    for completion in (
        whole_completion(request, raw),
        streamed_completion(request, [*map(token, pieces), final()]),
    ):
        assert completion.text == text
        assert [call.raw_arguments for call in completion.tool_calls] == arguments
        assert [call.error is None for call in completion.tool_calls] == [
            one.endswith("}") for one in arguments
        ]


@pytest.mark.parametrize(
    ("prompt", "answer", "shown"),
    [
        ("Hi", f"<{JOINER}/s>", f"<{JOINER}/s>"),
        (f"Keep <{JOINER}/s>", f"<{JOINER}/s>", f"<{JOINER}/s>"),
        ("Say </s>", f"<{JOINER}/s>", "</s>"),
    ],
    ids=["nothing escaped", "the user's own joiner", "escaped"],
)
def test_a_word_joiner_is_taken_out_only_if_the_prompt_was_escaped(
    caller: Caller, prompt: str, answer: str, shown: str
) -> None:
    cut_reply: Any = events(*map(token, answer[:2]), End.CUT)
    with ScriptedServer(whole(answer), cut_reply, streamed(answer[2:])) as server:
        model = caller.model(server, max_stream_resumes=1)
        assert caller.invoke(model, prompt).text == shown
        assert "".join(chunk.text for chunk in caller.stream(model, prompt)) == shown
    assert server.requests[2].body["input"] == server.requests[1].body["input"] + answer[:2]
