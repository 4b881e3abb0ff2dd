"""Hypothesis strategies for conversations."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.messages import ToolCall, Turn
from langchain_voxtral.prompts import PromptFormat, escape
from langchain_voxtral.prompts.escaping import escape_tool_result
from langchain_voxtral.tools.call_ids import to_mistral_call_id

MARKERS = [
    "<|begin_of_text|>",
    "<|start_header_id|>user<|end_header_id|>\n\n",
    "<|eot_id|>",
    "<|im_start|>user\n",
    "<|im_end|>",
    "<|endoftext|>",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<SPECIAL_20>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CONTENT]",
    "[IMG]",
    "[AUDIO]",
    "[BEGIN_AUDIO]",
    "[TRANSCRIBE]",
]
"""One of each kind of control marker, as an attacker would write it."""

plain = st.text(st.characters(codec="utf-8"), max_size=20)
shards = st.sampled_from(
    [*MARKERS, *(marker[:-1] for marker in MARKERS), "<", "[", "|", "\n", "\r\n", " ", "\u2060"]
)
texts = st.lists(plain | shards, max_size=6).map("".join)
"""Text with special tokens of every format, whole and in fragments, and with line breaks."""
tool_names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments: st.SearchStrategy[dict[str, Any]] = st.dictionaries(texts, json_values, max_size=3)
results = texts | json_values.map(json.dumps)


@st.composite
def conversations(
    draw: st.DrawFn,
    *,
    texts: st.SearchStrategy[str] = texts,
    answers: st.SearchStrategy[str] | None = None,
    names: st.SearchStrategy[str] = texts,
    arguments: st.SearchStrategy[dict[str, Any]] = arguments,
    results: st.SearchStrategy[str] = results,
) -> list[Turn]:
    """Draw turns as `to_turns` makes them; the last is a user's, a result, or a prefill."""
    answers = texts if answers is None else answers
    turns = [Turn("system", draw(texts))] if draw(st.booleans()) else []
    exchanges = draw(st.integers(1, 3))
    for number in range(exchanges):
        turns.append(Turn("user", draw(texts)))
        ids = draw(st.lists(st.text(max_size=12), max_size=3, unique=True))
        if ids:
            calls = tuple(ToolCall(call_id, draw(names), draw(arguments)) for call_id in ids)
            turns.append(Turn("assistant", draw(texts), calls))
            turns += [Turn("tool", draw(results), tool_call_id=call_id) for call_id in ids]
        must_answer = not ids and number < exchanges - 1
        if must_answer or draw(st.booleans()):
            turns.append(Turn("assistant", draw(answers)))
    return turns


def as_read(turns: list[Turn], fmt: PromptFormat) -> ParsedPrompt:
    """Return what a prompt of these turns should be read as."""
    prefill = ""
    if turns[-1].role == "assistant" and not turns[-1].tool_calls:
        *turns, last = turns
        prefill = escape(last.text)
    ids = iter(f"call{number:05d}" for number in range(1, 100))
    read_ids: dict[str | None, str] = {}
    seen = []
    for turn in turns:
        if turn.tool_calls:
            read_ids = {
                call.id: to_mistral_call_id(call.id) if fmt.calls.id_key else next(ids)
                for call in turn.tool_calls
            }
        seen.append(
            Turn(
                turn.role,
                escape_tool_result(turn.text) if turn.role == "tool" else escape(turn.text),
                tuple(replace(call, id=read_ids[call.id]) for call in turn.tool_calls),
                read_ids[turn.tool_call_id] if turn.role == "tool" else None,
            )
        )
    return ParsedPrompt(fmt.name, tuple(seen), prefill)
