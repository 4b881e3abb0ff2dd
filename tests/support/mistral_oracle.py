"""Mistral's own encoder of the model's template, as `mistral-common` has it."""

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest, InstructRequest
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall, Tool, ToolCall
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from langchain_voxtral.messages import AudioPart, Turn
from langchain_voxtral.tools.call_ids import to_mistral_call_id

needs_results = pytest.mark.skipif(
    version("mistral-common") == "1.8.0", reason="it writes results of tools in another way"
)
"""For what compares results of tools, as the versions from 1.8.1 on write them."""

# Tekken's control tokens by number; the numbers between are fillers.
CONTROL_TOKENS = {
    0: "<unk>",
    1: "<s>",
    2: "</s>",
    3: "[INST]",
    4: "[/INST]",
    5: "[AVAILABLE_TOOLS]",
    6: "[/AVAILABLE_TOOLS]",
    7: "[TOOL_RESULTS]",
    8: "[/TOOL_RESULTS]",
    9: "[TOOL_CALLS]",
    10: "[IMG]",
    11: "<pad>",
    12: "[IMG_BREAK]",
    13: "[IMG_END]",
    14: "[PREFIX]",
    15: "[MIDDLE]",
    16: "[SUFFIX]",
    17: "[SYSTEM_PROMPT]",
    18: "[/SYSTEM_PROMPT]",
    19: "[TOOL_CONTENT]",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    32: "[ARGS]",
    33: "[CALL_ID]",
    34: "[TRANSCRIBE]",
}


class MistralOracle:
    """A version 7 tokenizer, made of the vocabulary that `mistral-common` ships."""

    def __init__(self, folder: Path) -> None:
        shipped = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
        model = json.loads(shipped.read_text())
        model["config"]["version"] = "v7"
        del model["image"]
        model["audio"] = {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        }
        model["special_tokens"] = [
            {
                "rank": number,
                "token_str": CONTROL_TOKENS.get(number, f"<SPECIAL_{number}>"),
                "is_control": True,
            }
            for number in range(1000)
        ]
        path = folder / "tekken.json"
        path.write_text(json.dumps(model))
        # Its generics have a dozen parameters, none of which matters here.
        self._tokenizer: Any = MistralTokenizer.from_file(str(path), mode=ValidationMode.test)

    def tokens(self, turns: list[Turn], tools: list[dict[str, Any]]) -> list[int]:
        """Return the tokens of a conversation that Mistral's validation lets pass."""
        request: Any = ChatCompletionRequest(
            messages=[_message(turn, last=turn is turns[-1]) for turn in turns],
            tools=[Tool(function=Function(**tool["function"])) for tool in tools] or None,
        )
        return list(self._tokenizer.encode_chat_completion(request).tokens)

    def prompt(self, turns: list[Turn], tools: list[dict[str, Any]]) -> str:
        """Return a conversation as the string that its tokens spell."""
        return self._spelled(self.tokens(turns, tools))

    def prompt_without_validation(self, turns: list[Turn]) -> str:
        """Return what the template makes of turns whose order requests may not have."""
        messages = [_message(turn, last=turn is turns[-1]) for turn in turns]
        encoded = self._tokenizer.instruct_tokenizer.encode_instruct(
            InstructRequest(messages=messages)
        )
        return self._spelled(encoded.tokens)

    def _spelled(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, special_token_policy=SpecialTokenPolicy.KEEP))


def _message(turn: Turn, *, last: bool) -> Any:
    if turn.role == "system":
        return SystemMessage(content=turn.text)
    if turn.role == "user":
        if not turn.parts:
            return UserMessage(content=turn.text)
        return UserMessage.from_openai({"role": "user", "content": list(map(_part, turn.parts))})
    if turn.role == "tool":
        assert turn.tool_call_id is not None
        return ToolMessage(content=turn.text, tool_call_id=to_mistral_call_id(turn.tool_call_id))
    calls = [
        ToolCall(
            id=to_mistral_call_id(call.id),
            function=FunctionCall(name=call.name, arguments=json.dumps(call.arguments)),
        )
        for call in turn.tool_calls
    ]
    return AssistantMessage(content=turn.text, tool_calls=calls or None, prefix=last and not calls)


def _part(part: str | AudioPart) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.data).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
