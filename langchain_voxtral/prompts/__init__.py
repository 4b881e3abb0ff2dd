"""Turns to the input string of a prompt format."""

from langchain_voxtral.prompts.escaping import PartsRestorer, Restorer, escape, unescape
from langchain_voxtral.prompts.formats import (
    FORMATS,
    LLAMA3,
    MISTRAL,
    Delimiters,
    PromptFormat,
    ToolCallSyntax,
    ToolDefinitionSyntax,
    get_format,
)
from langchain_voxtral.prompts.render import (
    SpecialTokens,
    reject_audio,
    reject_special_tokens,
    render,
)
from langchain_voxtral.prompts.stop_sequences import StopSequenceFilter

__all__ = [
    "FORMATS",
    "LLAMA3",
    "MISTRAL",
    "Delimiters",
    "PartsRestorer",
    "PromptFormat",
    "Restorer",
    "SpecialTokens",
    "StopSequenceFilter",
    "ToolCallSyntax",
    "ToolDefinitionSyntax",
    "escape",
    "get_format",
    "reject_audio",
    "reject_special_tokens",
    "render",
    "unescape",
]
