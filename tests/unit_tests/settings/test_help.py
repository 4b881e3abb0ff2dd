"""What `help()`, completion and JSON schemas show of the public classes."""

import inspect
import json
import re
from types import ModuleType
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.document_loaders import BaseBlobParser, BaseLoader
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import Runnable
from pydantic import BaseModel

import langchain_voxtral
import langchain_voxtral.errors
import langchain_voxtral.local
from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
    VoxtralUsageCallbackHandler,
)
from langchain_voxtral.prompts import PromptFormat

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


@pytest.mark.parametrize("model_class", MODELS)
def test_a_json_schema_has_the_descriptions_of_all_fields(model_class: type[BaseModel]) -> None:
    properties = json.loads(json.dumps(model_class.model_json_schema()))["properties"]
    assert {*properties} == {*model_class.model_fields}
    for name in own_fields(model_class):
        assert properties[name]["description"] == model_class.model_fields[name].description
    assert properties["temperature"]["anyOf"][0]["type"] == "number"
    assert properties["http_client"]["anyOf"] == [{}, {"type": "null"}]


@pytest.mark.parametrize("model_class", MODELS)
def test_what_notebooks_show_of_the_constructor_is_for_users(model_class: type[BaseModel]) -> None:
    """IPython shows it below the docstring of the class."""
    assert inspect.getdoc(model_class.__init__) == (
        "Take the settings by name and check them; an error shows no value of them."
    )


def signature_of(model_class: type[BaseModel]) -> str:
    return str(inspect.signature(model_class))


@pytest.mark.parametrize("model_class", MODELS)
def test_a_signature_has_plain_types_and_our_arguments_before_those_of_langchain(
    model_class: type[BaseModel],
) -> None:
    names = [*inspect.signature(model_class).parameters]
    ours = own_fields(model_class)
    assert {*names} == {*model_class.model_fields}
    assert {*names[: len(ours)]} == ours
    shown = signature_of(model_class)
    assert len(shown) < 2_500
    assert [
        word for word in ("Annotated", "FieldInfo", "<function", "*args") if word in shown
    ] == []
    assert "api_key: pydantic.types.SecretStr | str | None = None" in shown
    assert "timeout: float | tuple[float | None, float | None] | None = 300.0" in shown


def test_the_signature_of_a_chat_begins_with_what_is_set_most() -> None:
    assert signature_of(ChatVoxtral).startswith(
        "(*, model: str = 'mistralai/Voxtral-Mini-3B-2507', temperature: float | None = 0.2, "
    )
    assert "stop: list[str] | str | None = None" in signature_of(ChatVoxtral)


@pytest.mark.parametrize(
    ("taker", "first"),
    [(VoxtralTranscriptionLoader, "recordings"), (VoxtralTranscriber, "parser")],
)
def test_what_takes_the_settings_of_a_parser_shows_them(taker: type, first: str) -> None:
    shown, settings = inspect.signature(taker), inspect.signature(VoxtralTranscriptionParser)
    assert next(iter(shown.parameters)) == first
    assert "settings" not in shown.parameters
    assert settings.parameters.keys() <= shown.parameters.keys()
    assert shown.parameters["mode"] == settings.parameters["mode"]

    class Taker(taker):  # type: ignore[misc]  # any class
        def __init__(self, folder: str) -> None:
            """Take a folder alone."""

    assert str(inspect.signature(Taker)) == "(folder: str)"


def test_a_subclass_of_a_user_has_a_plain_signature_with_its_own_fields() -> None:
    class TeamChat(ChatVoxtral):
        team: str = "blue"

    class NamedChat(TeamChat):
        def __init__(self, title: str, **settings: Any) -> None:
            super().__init__(**settings)

    assert signature_of(TeamChat).replace(", team: str = 'blue'", "") == signature_of(ChatVoxtral)
    assert [*inspect.signature(NamedChat).parameters][:2] == ["title", "model"]
    assert "Annotated" not in signature_of(NamedChat)


@pytest.mark.parametrize("model_class", MODELS)
def test_the_name_of_the_model_reads_as_model_name_and_is_no_field(
    model_class: type[BaseModel],
) -> None:
    model: Any = model_class(model_name="mistralai/x", base_url="local")
    assert (model.model, model.model_name) == ("mistralai/x", "mistralai/x")
    assert "model_name" not in {*model_class.model_fields, *model.model_dump()}
    assert "model_name" not in str(model.to_json() if hasattr(model, "to_json") else "")
    assert "model_name" not in getattr(model, "_identifying_params", {})
    changed = model.model_copy(update={"model": "mistralai/y"})
    assert changed.model_name == "mistralai/y"


def test_a_transcriber_tells_the_model_of_its_parser() -> None:
    assert VoxtralTranscriber(base_url="local", model="mistralai/x").model_name == "mistralai/x"


LANGCHAINS_BASES = {
    ChatVoxtral: BaseChatModel,
    VoxtralLLM: BaseLLM,
    VoxtralTranscriptionParser: BaseBlobParser,
    VoxtralTranscriptionLoader: BaseLoader,
    VoxtralTranscriber: Runnable,
    VoxtralUsageCallbackHandler: BaseCallbackHandler,
}
OF_PARSERS = {"aestimate", "alazy_parse", "aparse", "estimate"}
OF_CONNECTIONS = {"aclose", "close", "model_name"}


@pytest.mark.parametrize(
    ("public", "added"),
    [
        (ChatVoxtral, OF_CONNECTIONS | {"aput_audio", "put_audio"}),
        (VoxtralLLM, OF_CONNECTIONS),
        (VoxtralTranscriptionParser, OF_CONNECTIONS | OF_PARSERS),
        (VoxtralTranscriptionLoader, {"aestimate", "estimate"}),
        (VoxtralTranscriber, {"model_name"}),
        (VoxtralUsageCallbackHandler, {"by_model", "total"}),
    ],
)
def test_completion_offers_no_helpers_of_the_package(public: type, added: set[str]) -> None:
    known = {*dir(LANGCHAINS_BASES[public]), *dir(BaseModel)}
    offered = {name for name in dir(public) if not name.startswith("_")} - known
    assert offered == added


def test_a_transcription_offers_no_settings_of_chats() -> None:
    of_chats = {"api", "max_stream_resumes", "stream_idle_timeout"}
    assert of_chats & {*inspect.signature(VoxtralTranscriptionParser).parameters} == set()
    assert of_chats - {*inspect.signature(ChatVoxtral).parameters} == set()


@pytest.mark.parametrize(
    "module", [langchain_voxtral, langchain_voxtral.errors, langchain_voxtral.local]
)
def test_a_module_names_all_that_is_public_in_it_and_offers_no_more(module: ModuleType) -> None:
    words = set(re.findall(r"\w+", module.__doc__ or ""))
    assert {*module.__all__} - words - {"__version__"} == set()
    assert dir(module) == sorted(module.__all__)


def test_every_public_class_and_function_says_what_it_is() -> None:
    public = {
        **{name: getattr(langchain_voxtral, name) for name in langchain_voxtral.__all__},
        **{
            name: getattr(langchain_voxtral.errors, name)
            for name in langchain_voxtral.errors.__all__
        },
        "PromptFormat": PromptFormat,
    }
    own = {name: one.__doc__ for name, one in public.items() if callable(one)}
    assert {name for name, text in own.items() if len((text or "").split()) < 4} == set()
