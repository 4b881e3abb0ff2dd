"""From a conversation to the prompt that the loaded model was trained on.

Clients send the documented Llama 3 headers, Mistral's tokens, or messages, whatever model is
behind the server. The engine's own small model, SmolLM2, gets ChatML. The prompt for a user's own
model is written by llama.cpp from the chat template in its GGUF file.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.messages import Turn, to_openai
from langchain_voxtral.prompts import escape, unescape
from langchain_voxtral.prompts.escaping import WORD_JOINER

_SMOLLM2_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
)
"""The special tokens of SmolLM2's vocabulary."""

_SYSTEM = Turn(
    "system",
    "You are a helpful AI assistant. You answer questions in one short sentence.",
)
"""Begins a conversation without a system message: without one SmolLM2 rambles.

Example turns would shorten answers further, but SmolLM2 takes them for a part of the conversation
(`benchmarks/answers.py`).
"""

_RESULTS_FEW_SHOT = (
    Turn("user", "How old is Ann?\nResult of age: 41"),
    Turn("assistant", "Ann is 41 years old."),
    Turn(
        "user",
        "Is the shop open and how much is the bread?\n"
        "Result of shop: closed\nResult of price: 2 dollars",
    ),
    Turn("assistant", "The shop is closed, and the bread is 2 dollars."),
)
"""Stands before results of tools that are not answered yet: without it SmolLM2 makes up its own.

Nothing of it was found in answers to results, but in later ones (`benchmarks/answers.py`).
"""

RECORDING_SAYS = "The recording says:"
"""Begins the transcript of a recording in a user's turn."""

_RECORDING_FEW_SHOT = (
    Turn("user", f'{RECORDING_SAYS} "The bus leaves at nine."\nWhat is said in this recording?'),
    Turn("assistant", f'{RECORDING_SAYS} "The bus leaves at nine."'),
    Turn("user", f'{RECORDING_SAYS} "Anna buys a red car in Berlin."\nWho buys a car?'),
    Turn("assistant", "Anna buys a red car."),
    Turn("user", f'{RECORDING_SAYS} "The bus leaves at nine."\nWhen does the bus leave?'),
    Turn("assistant", "The bus leaves at nine."),
)
"""Stands before questions about recordings: without it SmolLM2 makes up a story about a recording,
with it answers are what is said (`benchmarks/answers.py`)."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How the prompt of a model is written.

    Args:
        render_turns: Writes a conversation.
        own_format: The format of input strings that go to the model as they are; "" if none.
        stops: Stop sequences, beside the model's own end token.
        uses_few_shot: The model learns to call tools from examples, and reads no schemas.
    """

    render_turns: Callable[[ParsedPrompt], str]
    own_format: str = ""
    stops: tuple[str, ...] = ()
    uses_few_shot: bool = False

    def render(self, prompt: ParsedPrompt, examples: Sequence[Turn] = ()) -> str:
        """Return the model's prompt; `examples` show how tools are called.

        Raises:
            ErrorResponse: 400, the conversation cannot be written in this format.
        """
        return self.render_turns(_with_few_shot(prompt, examples) if self.uses_few_shot else prompt)


def _with_few_shot(prompt: ParsedPrompt, examples: Sequence[Turn]) -> ParsedPrompt:
    """Return a conversation with examples before it, and without its calls.

    A model that sees calls before its answer writes another one instead of an answer.
    """
    at = 1 if prompt.turns and prompt.turns[0].role == "system" else 0
    system, turns = prompt.turns[:at], prompt.turns[at:]
    examples = examples or _few_shot(turns)
    return replace(prompt, turns=(*system, *examples, *_merge_results(turns)), tools=())


def _few_shot(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Return the examples for what the last turns ask for."""
    roles = (turn.role for turn in reversed(turns) if turn.role != "user")
    if next(roles, None) == "tool":
        return _RESULTS_FEW_SHOT
    has_recording = turns and turns[-1].role == "user" and RECORDING_SAYS in turns[-1].text
    return _RECORDING_FEW_SHOT if has_recording else ()


def _merge_results(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Yield turns in which the results of tools stand at the end of the question."""
    names: dict[str | None, str] = {}
    question: list[str] = []
    for turn in turns:
        names |= {call.id: call.name for call in turn.tool_calls}
        if turn.role == "tool":
            name = names.get(turn.tool_call_id)
            question.append(f"Result of {name}: {turn.text}" if name else turn.text)
        elif turn.text or turn.role != "assistant":
            if question:
                yield Turn("user", "\n".join(question))
            question = [turn.text] if turn.role == "user" else []
            if turn.role != "user":
                yield replace(turn, tool_calls=())
    if question:
        yield Turn("user", "\n".join(question))


def _render_chatml(prompt: ParsedPrompt) -> str:
    turns = prompt.turns
    if not any(turn.role == "system" for turn in turns):
        turns = (_SYSTEM, *turns)
    rendered = [f"<|im_start|>{turn.role}\n{_escape(turn.text)}<|im_end|>\n" for turn in turns]
    return f"{''.join(rendered)}<|im_start|>assistant\n{_escape(prompt.prefill)}"


def _escape(text: str) -> str:
    """Break SmolLM2's special tokens, and restore those that only other models know."""
    text = unescape(text)
    for token in _SMOLLM2_TOKENS:
        text = text.replace(token, token[0] + WORD_JOINER + token[1:])
    return text


SMOLLM2_TEMPLATE = ChatTemplate(_render_chatml, "chatml", ("<|im_end|>",), uses_few_shot=True)


def load_chat_template(apply_template: Callable[[Mapping[str, Any]], str]) -> ChatTemplate:
    """Return the chat template of the model that llama.cpp has loaded.

    A template that has no place for tools leaves one out, or fails: the model is then shown
    examples of calls.
    """

    def render(prompt: ParsedPrompt) -> str:
        prefill = [Turn("assistant", prompt.prefill)] if prompt.prefill else []
        try:
            messages = to_openai([*prompt.turns, *prefill])
        except VoxtralInvalidRequestError as error:
            raise ErrorResponse.with_message(400, error.message) from error
        body: dict[str, object] = {"messages": messages}
        if prompt.tools:
            body["tools"] = prompt.tools
        return apply_template(json.loads(escape(json.dumps(body, ensure_ascii=False))))

    try:
        shows_tools = _TOOL_NAME in render(ParsedPrompt("", (Turn("user", "Hi"),), tools=(_TOOL,)))
    except ErrorResponse:
        shows_tools = False
    return ChatTemplate(render, uses_few_shot=not shows_tools)


_TOOL_NAME = "offered_tool"
_TOOL: dict[str, object] = {
    "type": "function",
    "function": {
        "name": _TOOL_NAME,
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {}},
    },
}
