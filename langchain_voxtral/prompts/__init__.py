"""Turns to the input string of a prompt format and back, pure."""

from langchain_voxtral.prompts.formats import (
    FORMATS,
    LLAMA3,
    MISTRAL,
    CallSyntax,
    Markers,
    PromptFormat,
    ToolSyntax,
    get_format,
)
from langchain_voxtral.prompts.neutralise import PartsRestorer, Restorer, neutralise, restore
from langchain_voxtral.prompts.read import Reading, read
from langchain_voxtral.prompts.render import SpecialTokens, refuse_audio, refuse_markers, render
from langchain_voxtral.prompts.stops import StopTrimmer

__all__ = [
    "FORMATS",
    "LLAMA3",
    "MISTRAL",
    "CallSyntax",
    "Markers",
    "PartsRestorer",
    "PromptFormat",
    "Reading",
    "Restorer",
    "SpecialTokens",
    "StopTrimmer",
    "ToolSyntax",
    "get_format",
    "neutralise",
    "read",
    "refuse_audio",
    "refuse_markers",
    "render",
    "restore",
]
