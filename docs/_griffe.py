"""The reference shows the settings of models with the types and defaults that `inspect` shows."""

import inspect
import re
from types import NoneType, UnionType
from typing import Union, get_args, get_origin

import griffe

import langchain_voxtral

MODELS = ("ChatVoxtral", "VoxtralLLM", "VoxtralTranscriptionParser")


class PlainSettings(griffe.Extension):
    """Replaces what the source has: validators, names of types, and `Field(...)`."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Change the attributes once the whole package is loaded."""
        for name in MODELS:
            members = pkg[name].all_members
            for setting in inspect.signature(getattr(langchain_voxtral, name)).parameters.values():
                if setting.name in members:  # LangChain's own are not
                    shown = members[setting.name]
                    shown.annotation = kind = _type(setting.annotation)
                    shown.value = _default(setting.default, kind)


def _type(annotation: object) -> str:
    """Return a type as people write it: `BaseStore[str, bytes] | Literal["cache"] | None`."""
    if get_origin(annotation) in {Union, UnionType}:
        return " | ".join(map(_type, get_args(annotation)))
    if annotation is NoneType:
        return "None"
    text = inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text).replace("'", '"')


def _default(value: object, kind: str) -> str | None:
    """Return a default; None if it depends on other settings, or is a new object each time."""
    text = repr(value).replace("'", '"')
    is_missing = text.startswith("<") or (value is None and "None" not in kind)
    return None if is_missing else text
