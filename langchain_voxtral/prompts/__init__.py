"""Turns to the input string of a prompt format."""

from langchain_voxtral.prompts.escaping import StreamUnescaper, escape, unescape
from langchain_voxtral.prompts.formats import (
    FORMATS,
    LLAMA3,
    MISTRAL,
    Delimiters,
    PromptFormat,
    PromptFormatName,
    ToolCallSyntax,
    ToolDefinitionSyntax,
    get_format,
)
from langchain_voxtral.prompts.render import (
    SpecialTokens,
    adds_word_joiners,
    reject_audio,
    reject_special_tokens,
    render,
)
from langchain_voxtral.prompts.special_tokens import split_special_tokens
from langchain_voxtral.prompts.stop_sequences import StopSequenceFilter, find_stop

__all__ = [
    "FORMATS",
    "LLAMA3",
    "MISTRAL",
    "Delimiters",
    "PromptFormat",
    "PromptFormatName",
    "SpecialTokens",
    "StopSequenceFilter",
    "StreamUnescaper",
    "ToolCallSyntax",
    "ToolDefinitionSyntax",
    "adds_word_joiners",
    "escape",
    "find_stop",
    "get_format",
    "reject_audio",
    "reject_special_tokens",
    "render",
    "split_special_tokens",
    "unescape",
]
