"""What `help()`, completion and JSON schemas show of the public classes."""

import pytest
from pydantic import BaseModel

from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser

MODELS = [ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser]


def own_fields(model_class: type[BaseModel]) -> set[str]:
    """Return the fields that are not LangChain's."""
    bases = [base for base in model_class.__mro__ if base.__module__.startswith("langchain_core.")]
    return {*model_class.model_fields}.difference(
        *(base.model_fields for base in bases if issubclass(base, BaseModel))
    )


@pytest.mark.parametrize("model_class", MODELS)
def test_every_field_of_ours_says_what_it_is(model_class: type[BaseModel]) -> None:
    said = {name: model_class.model_fields[name].description for name in own_fields(model_class)}
    assert {name for name, text in said.items() if text is None or len(text.split()) < 3} == set()
    assert {name for name, text in said.items() if text and text[-1] not in ".)"} == set()
