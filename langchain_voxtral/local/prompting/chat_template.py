"""From the prompt that a client sent to the prompt that the loaded model was trained on.

Clients send the documented Llama 3 headers, or Mistral's markers, whatever model is
behind the server. The prompt is read back into turns, and those are written in the model's own
format. A prompt without markers, or in that very format, is sent to the model as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.gguf import read_text_field
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.messages.turns import Turn
from langchain_voxtral.prompts import FORMATS, render, unescape
from langchain_voxtral.prompts.escaping import WORD_JOINER

__all__ = ["CHATML", "LLAMA3", "MISTRAL", "Template", "template_for"]

_SMOLLM2_MARKERS = (
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
"""The special tokens of SmolLM2's vocabulary: as text they would be read as tokens."""

_PRIMER = (
    Turn("system", "You are a helpful AI assistant. Answer in one or two short sentences."),
    Turn("user", "What is 2+2?"),
    Turn("assistant", "2+2 equals 4."),
    Turn("user", "Name two fruits."),
    Turn("assistant", "Two fruits are apples and bananas."),
)
"""What a conversation without a system message begins with: without one SmolLM2 rambles, and
two short turns are what it takes to make it answer shortly."""

_RESULTS_PRIMER = (
    Turn("user", "How old is Ann?\nResult of age: 41"),
    Turn("assistant", "Ann is 41 years old."),
    Turn(
        "user",
        "Is the shop open and how much is the bread?\n"
        "Result of shop: closed\nResult of price: 2 dollars",
    ),
    Turn("assistant", "The shop is closed, and the bread is 2 dollars."),
)
"""What a conversation with results of tools begins with: else SmolLM2 makes up its own."""


@dataclass(frozen=True, slots=True)
class Template:
    """A model's prompt format.

    Args:
        name: What it is called.
        render: Writes turns that were read, and the answer's given beginning, as a prompt.
        stops: What ends a turn, beside the model's own end token.
        begin: What llama.cpp puts before every prompt of such a model by itself.
        by_example: Tools are shown by examples of calls; else `render` describes them.
    """

    name: str
    render: Callable[[ParsedPrompt], str]
    stops: tuple[str, ...]
    begin: str = ""
    by_example: bool = False

    def write(self, reading: ParsedPrompt, examples: Sequence[Turn] = ()) -> str:
        """Return the prompt for the model that a conversation stands for.

        Args:
            reading: The conversation.
            examples: Turns that show how tools are called, for a model that learns so.

        Raises:
            ErrorResponse: 400, the conversation cannot be written in this format.
        """
        if self.by_example:
            reading = _with_examples(reading, examples)
        return self.render(reading).removeprefix(self.begin)


def _with_examples(reading: ParsedPrompt, examples: Sequence[Turn]) -> ParsedPrompt:
    """Return a conversation with examples before it, and without its calls.

    A model that sees calls in front of its answer writes another one instead of an answer.
    """
    at = 1 if reading.turns and reading.turns[0].role == "system" else 0
    system, turns = reading.turns[:at], reading.turns[at:]
    if examples:
        system = system or _PRIMER[:1]
    elif any(turn.role == "tool" for turn in turns):
        examples = _RESULTS_PRIMER
    return replace(reading, turns=(*system, *examples, *_with_results(turns)))


def _with_results(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Yield turns in which the results of tools stand at the end of the question."""
    names: dict[str | None, str] = {}
    asked: Turn | None = None
    for turn in turns:
        names |= {call.id: call.name for call in turn.tool_calls}
        if turn.role == "tool":
            tool = names.get(turn.tool_call_id)
            text = f"Result of {tool}: {turn.text}" if tool else turn.text
            asked = replace(asked, text=f"{asked.text}\n{text}") if asked else Turn("user", text)
            continue
        if turn.role == "assistant" and not turn.text:
            continue
        if asked:
            yield asked
        asked = turn if turn.role == "user" else None
        if asked is None:
            yield replace(turn, tool_calls=())
    if asked:
        yield asked


def _chatml(reading: ParsedPrompt) -> str:
    turns = reading.turns
    if not any(turn.role == "system" for turn in turns):
        turns = (*_PRIMER, *turns)
    written = "".join(
        f"<|im_start|>{turn.role}\n{_disarm(turn.text)}<|im_end|>\n" for turn in turns
    )
    return f"{written}<|im_start|>assistant\n{_disarm(reading.prefill)}"


def _disarm(text: str) -> str:
    """Break the model's own markers, and mend those that only other models know."""
    text = unescape(text)
    for marker in _SMOLLM2_MARKERS:
        text = text.replace(marker, marker[0] + WORD_JOINER + marker[1:])
    return text


def _in_format(name: str) -> Callable[[ParsedPrompt], str]:
    def written(reading: ParsedPrompt) -> str:
        prefill = [Turn("assistant", reading.prefill)] if reading.prefill else []
        try:
            return render([*reading.turns, *prefill], FORMATS[name], tools=reading.tools)
        except VoxtralInvalidRequestError as error:
            raise ErrorResponse.with_message(400, error.message) from error

    return written


CHATML = Template("chatml", _chatml, ("<|im_end|>",), by_example=True)
MISTRAL = Template("mistral", _in_format("mistral"), ("</s>", "[INST]"), "<s>")
LLAMA3 = Template("llama3", _in_format("llama3"), ("<|eot_id|>",), "<|begin_of_text|>")

_BY_PRETOKENIZER = {"tekken": MISTRAL, "llama-bpe": LLAMA3}


def template_for(path: Path) -> Template:
    """Return the format for a GGUF file: by its name, else by the tokenizer it declares.

    A file with "voxtral" in its name, or with Mistral's Tekken tokenizer, gets Mistral's
    markers; Llama 3's tokenizer Llama's headers; everything else ChatML, as SmolLM2.

    Only ChatML with SmolLM2 is exercised by this package's tests: a Voxtral GGUF has
    gigabytes, so its rendering is checked as text, never against the model.

    Raises:
        VoxtralLocalError: The file is not GGUF.
    """
    if "voxtral" in path.name.lower():
        return MISTRAL
    declared = read_text_field(path, "tokenizer.ggml.pre")
    return _BY_PRETOKENIZER.get(declared or "", CHATML)
