"""`register`: strings like "voxtral:MODEL" make a ChatVoxtral wherever LangChain takes them."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from support.documented_exchanges import HELLO_TEXT, KEY, Server
from support.scripted_server import ScriptedServer
from support.sse_replies import whole

from langchain_voxtral import ChatVoxtral, register
from langchain_voxtral.errors import VoxtralError

NAME = "mistralai/Voxtral-Mini-3B-2507"


@pytest.fixture
def langchain_models() -> Iterator[Any]:
    """Return LangChain's module of `init_chat_model`, without what tests add to it."""
    pytest.importorskip("langchain", reason="init_chat_model is langchain's, which the floor lacks")
    from langchain.chat_models import base  # noqa: PLC0415 - as above

    def forget() -> None:
        base._BUILTIN_PROVIDERS.pop("voxtral", None)
        base._get_chat_model_creator.cache_clear()

    forget()
    yield base
    forget()


@pytest.mark.parametrize(
    "given", [{"model": f"voxtral:{NAME}"}, {"model": NAME, "model_provider": "voxtral"}]
)
def test_init_chat_model_makes_a_chat_voxtral(
    langchain_models: Any, server: Server, given: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="voxtral"):
        langchain_models.init_chat_model(**given)
    register()
    chat = langchain_models.init_chat_model(**given, api_key=KEY, temperature=0, **server.settings)
    assert type(chat) is ChatVoxtral
    assert (chat.model, chat.temperature) == (NAME, 0)
    assert chat.invoke("Hello!").text == HELLO_TEXT


def test_configurable_models_take_our_settings(langchain_models: Any, server: Server) -> None:
    register()
    model = langchain_models.init_chat_model(configurable_fields="any")
    settings = {"model": f"voxtral:{NAME}", "api_key": KEY, "max_tokens": 5, **server.settings}
    assert model.invoke("Hello!", {"configurable": settings}).text == HELLO_TEXT
    assert server.body["max_new_tokens"] == 5


def test_agents_and_middleware_take_names_of_models(
    langchain_models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain.agents import create_agent  # noqa: PLC0415 - the floor has none
    from langchain.agents.middleware import SummarizationMiddleware  # noqa: PLC0415

    register()
    with ScriptedServer(whole("Anna owes Ben 5."), whole("Five euros.")) as server:
        monkeypatch.setenv("VOXTRAL_BASE_URL", server.url)
        summing_up = SummarizationMiddleware(
            f"voxtral:{NAME}", trigger=("messages", 3), keep=("messages", 1)
        )
        agent: Any = create_agent(f"voxtral:{NAME}", tools=[], middleware=[summing_up])
        said = [HumanMessage("Anna owes Ben 5."), AIMessage("Noted."), HumanMessage("How much?")]
        answer = agent.invoke({"messages": said})
    assert answer["messages"][-1].text == "Five euros."
    assert len(server.requests) == 2


def test_a_second_call_and_a_row_of_langchains_own_change_nothing(langchain_models: Any) -> None:
    register()
    row = langchain_models._BUILTIN_PROVIDERS["voxtral"]
    register()
    assert langchain_models._BUILTIN_PROVIDERS["voxtral"] is row
    theirs = ("langchain_voxtral.chat_models", "ChatVoxtral", row[2])
    langchain_models._BUILTIN_PROVIDERS["voxtral"] = theirs
    register()
    assert langchain_models._BUILTIN_PROVIDERS["voxtral"] is theirs


def test_without_the_prefix_langchain_infers_another_class(langchain_models: Any) -> None:
    register()
    assert langchain_models._attempt_infer_model_provider(NAME) == "mistralai"


def test_without_langchain_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("langchain", "langchain.chat_models", "langchain.chat_models.base"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        register()
    assert str(caught.value) == (
        "register() needs langchain 1.0 or later, whose init_chat_model and create_agent take "
        'names of models: pip install "langchain>=1". Pass an instance of ChatVoxtral in place of '
        "a string."
    )


@pytest.mark.parametrize(
    "contents", [{}, {"_BUILTIN_PROVIDERS": []}, {"_BUILTIN_PROVIDERS": {"openai": ("a", "b")}}]
)
def test_another_table_of_langchains_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, contents: dict[str, Any]
) -> None:
    base: Any = SimpleNamespace(**contents)
    monkeypatch.setitem(sys.modules, "langchain", ModuleType("langchain"))
    monkeypatch.setitem(sys.modules, "langchain.chat_models", ModuleType("langchain.chat_models"))
    monkeypatch.setitem(sys.modules, "langchain.chat_models.base", base)
    with pytest.raises(VoxtralError) as caught:
        register()
    assert caught.value.message == (
        "This version of langchain keeps its providers otherwise than in _BUILTIN_PROVIDERS of "
        "langchain.chat_models.base, so that none can be added. Pass an instance of ChatVoxtral in "
        "place of a string."
    )


def test_a_name_that_another_package_has_registered_is_an_error(langchain_models: Any) -> None:
    row = ("other_package", "OtherModel", dict)
    langchain_models._BUILTIN_PROVIDERS["voxtral"] = row
    with pytest.raises(VoxtralError) as caught:
        register()
    assert caught.value.message == (
        '"voxtral:" means OtherModel of other_package in this process, which another package has '
        "registered. Pass an instance of ChatVoxtral in place of a string."
    )
    assert langchain_models._BUILTIN_PROVIDERS["voxtral"] is row
