"""Chat completions requests as vLLM reads them: `mistral-common` checks and encodes the messages.

The tokenizer has Voxtral's special tokens and the version of its template, and a byte for a token,
so that it is made in no time. Runs on every version of `mistral-common` with such templates.
"""

import base64
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from support.mistral_oracle import CONTROL_TOKENS

_SPECIAL = 40
_BYTES = 256
_MODES = (ValidationMode.test, ValidationMode.serving)
"""That of vLLM, and the stricter one of Mistral's own servers."""


def encode_request(body: Mapping[str, Any]) -> str:
    """Return the prompt that a request becomes; raise as `mistral-common` and vLLM do."""
    is_continued = body.get("continue_final_message", False)
    is_prefill = body["messages"][-1]["role"] == "assistant"
    if (is_continued, body.get("add_generation_prompt", True)) != (is_prefill, not is_prefill):
        raise ValueError("A last assistant message must be continued, and no other can be.")
    [prompt] = {_encode(body, mode, is_continued=is_continued) for mode in _MODES}
    # Version 1.8.0 ends a continued message; vLLM of its time had other means.
    return prompt.removesuffix("</s>") if is_continued else prompt


def _encode(body: Mapping[str, Any], mode: ValidationMode, *, is_continued: bool) -> str:
    copied = json.loads(json.dumps(body))  # it is changed while it is read
    tools = copied.get("tools")
    for tool in tools or ():
        tool["function"] = {"description": "", "parameters": {}} | tool["function"]
    request: Any = ChatCompletionRequest.from_openai(
        model=copied["model"],
        messages=copied["messages"],
        tools=tools,
        continue_final_message=is_continued,
    )
    return _spell(_tokenizer(mode).encode_chat_completion(request).tokens)


def _spell(tokens: list[int]) -> str:
    parts = [
        CONTROL_TOKENS[token].encode() if token < _SPECIAL else bytes([token - _SPECIAL])
        for token in tokens
    ]
    return b"".join(parts).decode()


@cache
def _tokenizer(mode: ValidationMode) -> Any:
    model = {
        "config": {
            "pattern": r".|\s",
            "num_vocab_tokens": _BYTES,
            "default_vocab_size": _BYTES + _SPECIAL,
            "default_num_special_tokens": _SPECIAL,
            "version": "v7",
        },
        "vocab": [
            {
                "rank": number,
                "token_bytes": base64.b64encode(bytes([number])).decode(),
                "token_str": None,
            }
            for number in range(_BYTES)
        ],
        "special_tokens": [
            {
                "rank": number,
                "token_str": CONTROL_TOKENS.get(number, f"<SPECIAL_{number}>"),
                "is_control": True,
            }
            for number in range(_SPECIAL)
        ],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tekken.json"
        path.write_text(json.dumps(model))
        return MistralTokenizer.from_file(str(path), mode=mode)
