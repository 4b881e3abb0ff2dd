"""LangChain's serialization: a constructor call without secrets, and back."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.prompts import ChatPromptTemplate
from pydantic import SecretStr
from support.documented_exchanges import KEY, Server

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.prompts import MISTRAL

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")

MODEL_CLASSES = [ChatVoxtral, VoxtralLLM]
ModelClass = type[ChatVoxtral | VoxtralLLM]
OWN_FORMAT = replace(MISTRAL, name="own", begin="", stops=("</s>", "[/INST]"))
OTHER = "https://voxtral.example.org/v1"
SETTINGS: dict[str, Any] = {
    "model": "own/er",
    "temperature": 0.5,
    "top_p": None,
    "stop": ["END"],
    "max_tokens": 5,
    "seed": 7,
    "timeout": (1.0, 2.0),
    "model_kwargs": {"webhook": "https://x/y"},
    "prompt_format": "mistral",
    "special_tokens": "error",
}


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_a_dump_is_the_constructor_call_with_the_key_by_its_name_only(
    model_class: ModelClass,
) -> None:
    written = dumpd(model_class(api_key=SecretStr(KEY), **SETTINGS))
    module = "chat_models" if model_class is ChatVoxtral else "llms"
    assert written["id"] == ["langchain_voxtral", module, model_class.__name__]
    assert written["kwargs"]["api_key"] == {
        "lc": 1,
        "type": "secret",
        "id": ["DEEPINFRA_API_TOKEN"],
    }
    assert {name: written["kwargs"][name] for name in SETTINGS if name != "timeout"} == {
        name: value for name, value in SETTINGS.items() if name != "timeout"
    }
    assert KEY not in json.dumps(written)


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize(
    "settings", [{}, SETTINGS, {"base_url": "local"}, {"prompt_format": OWN_FORMAT}]
)
def test_a_loaded_model_is_equal(model_class: ModelClass, settings: dict[str, Any]) -> None:
    model = model_class(api_key=SecretStr(KEY), **settings)
    secrets = {"DEEPINFRA_API_TOKEN": KEY, "VOXTRAL_API_KEY": KEY}
    allowed: dict[str, Any] = {
        "allowed_objects": [model_class],
        "valid_namespaces": ["langchain_voxtral"],
        "secrets_map": secrets,
    }
    assert load(dumpd(model), **allowed) == model
    assert loads(dumps(model), **allowed) == model


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_a_loaded_model_takes_its_key_from_the_environment(
    model_class: ModelClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "of-the-reader")
    loaded = load(
        dumpd(model_class(api_key=SecretStr(KEY))),
        allowed_objects=[model_class],
        valid_namespaces=["langchain_voxtral"],
        secrets_from_env=True,
    )
    assert loaded == model_class(api_key=SecretStr("of-the-reader"))


@pytest.mark.parametrize("base_url", [OTHER, "https://evil-deepinfra.com/v1", "local"])
def test_deepinfras_key_is_not_loaded_into_a_model_of_another_server(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "of-deepinfra")
    monkeypatch.setenv("VOXTRAL_API_KEY", "of-another")
    loaded = load(
        dumpd(ChatVoxtral(api_key=SecretStr(KEY), base_url=base_url)),
        allowed_objects=[ChatVoxtral],
        valid_namespaces=["langchain_voxtral"],
        secrets_from_env=True,
    )
    assert loaded == ChatVoxtral(api_key=SecretStr("of-another"), base_url=base_url)


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_a_key_of_the_environment_is_not_part_of_the_model(
    model_class: ModelClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    assert "api_key" not in dumpd(model_class())["kwargs"]
    assert KEY not in dumps(model_class())


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_a_model_read_back_from_json_takes_the_key_of_its_environment(
    model_class: ModelClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "of-the-writer")
    written = model_class().model_dump_json(include={"api_key", "model"})
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "of-the-reader")
    assert model_class.model_validate_json(written) == model_class()


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_headers", {"x-team": KEY}),
        ("proxy", f"http://user:{KEY}@127.0.0.1:3128"),
        ("http_client", httpx.Client(headers={"x-team": KEY})),
        ("http_async_client", httpx.AsyncClient(headers={"x-team": KEY})),
    ],
)
def test_secrets_and_clients_are_not_serialized(
    model_class: ModelClass, name: str, value: object
) -> None:
    model = model_class.model_validate({name: value})
    assert dumpd(model) == dumpd(model_class())
    assert name not in model.model_dump()


def test_a_dump_of_a_used_model_is_that_of_a_new_one(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    chat = make_chat()
    before = dumps(chat)
    chat.invoke("Hello!")
    assert dumps(chat) == before


def test_a_model_in_a_chain_is_written_with_it(chat: ChatVoxtral) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "{x}")]) | chat
    written = dumps(chain)
    assert '"langchain_voxtral", "chat_models", "ChatVoxtral"' in written
    assert KEY not in written
