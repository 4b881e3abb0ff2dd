"""Names by which other classes have an option: accepted, safe, and never beside the canonical."""

import inspect
import pickle
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from pydantic import ValidationError
from support.documented_exchanges import KEY, Server

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.option_names import FIELD_ALIASES

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

Make = Callable[..., ChatVoxtral | VoxtralLLM]
Class = Callable[..., Any]

CHAT: Class = ChatVoxtral
URL = "https://api.mistral.ai/v1"
CONNECTION: list[tuple[str, str, Any]] = [
    ("openai_api_key", "api_key", KEY),
    ("token", "api_key", KEY),
    ("deepinfra_api_token", "api_key", KEY),
    ("deepinfra_api_key", "api_key", KEY),
    ("deepinfra_token", "api_key", KEY),
    ("openai_api_base", "base_url", "https://api.deepinfra.com/v1"),
    ("api_base", "base_url", "https://api.deepinfra.com/v1"),
    ("url", "base_url", "https://api.deepinfra.com/v1"),
    ("request_timeout", "timeout", 7.0),
    ("model_name", "model", "mistralai/Voxtral-Small-24B-2507"),
    ("extra_body", "model_kwargs", {"webhook": "https://x/y"}),
]
OF_CALLS: list[tuple[str, str, Any]] = [
    ("model_name", "model", "mistralai/Voxtral-Small-24B-2507"),
    ("max_new_tokens", "max_tokens", 7),
    ("max_completion_tokens", "max_tokens", 7),
    ("max_output_tokens", "max_tokens", 7),
    ("stop_sequences", "stop", ["x"]),
    ("stop_tokens", "stop", ["x"]),
    ("extra_body", "model_kwargs", {"webhook": "https://x/y"}),
]
KEYS = [alias for alias, name, _ in CONNECTION if name == "api_key"]


def parser_of_loader(**settings: Any) -> VoxtralTranscriptionParser:
    return VoxtralTranscriptionLoader("talk.mp3", **settings).parser


def parser_of_transcriber(**settings: Any) -> VoxtralTranscriptionParser:
    return VoxtralTranscriber(**settings).parser


def value_of(made: object, name: str) -> object:
    value = getattr(made, name)
    return value.get_secret_value() if name == "api_key" else value


@pytest.mark.parametrize(
    "make_any",
    [
        ChatVoxtral,
        VoxtralLLM,
        VoxtralTranscriptionParser,
        parser_of_loader,
        parser_of_transcriber,
    ],
)
@pytest.mark.parametrize(("alias", "name", "value"), CONNECTION)
def test_every_class_accepts_the_names_of_other_classes(
    make_any: Class, alias: str, name: str, value: object
) -> None:
    made = make_any(**{alias: value})
    assert value_of(made, name) == value
    assert alias not in {*vars(made)}


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM])
@pytest.mark.parametrize(("alias", "name", "value"), OF_CALLS)
def test_models_accept_the_names_of_settings_at_their_constructor(
    model_class: Class, alias: str, name: str, value: object
) -> None:
    assert getattr(model_class(**{alias: value}), name) == value


@pytest.mark.parametrize(("alias", "name", "value"), OF_CALLS)
def test_a_call_takes_an_alias_as_it_takes_the_name(
    make: Make, server: Server, alias: str, name: str, value: object
) -> None:
    model: Any = make()
    model.invoke("Hello!", **{name: value})
    model.invoke("Hello!", **{alias: value})
    model.bind(**{alias: value}).invoke("Hello!")
    by_name, *by_alias = [(request.url, request.content) for request in server.requests]
    assert by_alias == [by_name] * 2


def test_traces_show_what_was_given_under_an_alias(chat: ChatVoxtral) -> None:
    params = chat._get_ls_params(max_completion_tokens=7, stop_tokens=["x"])
    assert (params["ls_max_tokens"], params["ls_stop"]) == (7, ["x"])


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser])
@pytest.mark.parametrize(("alias", "name", "value"), CONNECTION)
def test_an_option_under_two_names_is_one_clear_error(
    model_class: Class, alias: str, name: str, value: object
) -> None:
    with pytest.raises(ValidationError) as caught:
        model_class(**{name: value, alias: value})
    [problem] = caught.value.errors()
    assert problem["msg"].endswith(f"{alias!r} is {name!r} once more: give one of them")
    assert KEY not in str(caught.value)


def test_two_aliases_of_one_option_are_an_error_at_a_call_too(chat: ChatVoxtral) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        chat.invoke("Hello!", max_new_tokens=5, max_completion_tokens=5)
    assert caught.value.message == (
        "Wrong options for this call: 'max_completion_tokens' is 'max_tokens' once more: give one "
        "of them."
    )


@pytest.mark.parametrize("alias", [*KEYS, "request_timeout", "url"])
def test_an_alias_of_a_connection_setting_is_none_of_a_call(
    chat: ChatVoxtral, server: Server, alias: str
) -> None:
    given: dict[str, Any] = {alias: KEY}
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        chat.invoke("Hello!", **given)
    assert caught.value.message == (
        f"Wrong options for this call: {alias!r} is set at the constructor, not at a call."
    )
    assert server.requests == []


@pytest.mark.parametrize("alias", KEYS)
def test_a_key_under_an_alias_is_sent_and_shown_nowhere(server: Server, alias: str) -> None:
    chat = CHAT(**{alias: KEY, **server.settings})
    chat.invoke("Hello!")
    assert server.request.headers["authorization"] == f"Bearer {KEY}"
    views = [repr(chat), dumps(chat), str(chat.model_dump()), repr(chat._identifying_params)]
    views += [pickle.dumps(CHAT(**{alias: KEY}), 0).decode("latin-1")]
    assert [view for view in views if KEY in view] == []
    assert dumpd(chat)["kwargs"]["api_key"] == {
        "lc": 1,
        "type": "secret",
        "id": ["DEEPINFRA_API_TOKEN"],
    }


@pytest.mark.parametrize("alias", KEYS)
@pytest.mark.parametrize("mistake", [{"temperature": "hot"}, {"tempreature": 1}, {"url": "no"}])
def test_no_error_or_local_variable_shows_a_key_under_an_alias(
    alias: str, mistake: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        CHAT(**{alias: KEY}, **mistake)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in shown.stack if "langchain_voxtral" in frame.filename]
    assert frames
    assert KEY not in str([frame.locals for frame in frames])
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("settings", "owner", "url"),
    [
        ({"mistral_api_key": KEY}, "Mistral", "https://api.deepinfra.com/v1"),
        ({"deepinfra_api_token": KEY, "server": "mistral"}, "DeepInfra", URL),
        (
            {"deepinfra_api_key": KEY, "api_base": "https://gateway.example/v1"},
            "DeepInfra",
            "https://gateway.example/v1",
        ),
        (
            {"openrouter_api_key": KEY, "server": "vllm", "url": "http://127.0.0.1:8000/v1"},
            "OpenRouter",
            "http://127.0.0.1:8000/v1",
        ),
        ({"voxtral_api_key": KEY}, "a server of your own", "https://api.deepinfra.com/v1"),
    ],
)
@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralTranscriptionParser])
def test_a_key_named_after_one_server_goes_to_no_other(
    model_class: Class, settings: dict[str, Any], owner: str, url: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model_class(**settings)
    [problem] = caught.value.errors()
    assert problem["msg"].endswith(
        f"{next(iter(settings))}= is a key of {owner}, and base_url={url!r} is another server: "
        "give the key that belongs there as api_key="
    )
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "settings"),
    [
        ("mistral_api_key", {"server": "mistral"}),
        ("openrouter_api_key", {"server": "openrouter"}),
        ("voxtral_api_key", {"server": "vllm", "base_url": "http://127.0.0.1:8000/v1"}),
        ("deepinfra_api_token", {"base_url": "local"}),  # which is sent no key
    ],
)
def test_a_key_named_after_its_server_is_taken(alias: str, settings: dict[str, Any]) -> None:
    assert value_of(CHAT(**{alias: KEY}, **settings), "api_key") == KEY


@pytest.mark.parametrize(
    ("given", "meant"), [("openai_key", "api_key"), ("max_token", "max_tokens")]
)
def test_guesses_name_the_canonical_option(given: str, meant: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CHAT(**{given: KEY})
    assert f"there is no option {given!r}. Did you mean {meant!r}?" in str(caught.value)


def test_a_parser_has_no_settings_of_chats_under_any_name() -> None:
    with pytest.raises(ValidationError, match="there is no option 'max_completion_tokens'"):
        parser_of_loader(max_completion_tokens=5)


def test_schemas_and_signatures_have_the_canonical_names_alone() -> None:
    aliases = {*FIELD_ALIASES}
    for model_class in (ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser):
        assert not aliases & model_class.model_fields.keys()
        assert not aliases & inspect.signature(model_class).parameters.keys()


class WithNamesOfItsOwn(ChatVoxtral):
    """A subclass whose own fields have names that are aliases elsewhere."""

    token: str = ""
    url: str = ""
    mistral_api_key: str = ""


def test_an_alias_that_a_subclass_has_as_a_field_is_that_field(server: Server) -> None:
    own: Any = {"token": "own", "url": "own", "mistral_api_key": "own"}
    chat = WithNamesOfItsOwn(**own, openai_api_key=KEY, **server.settings)  # type: ignore[call-arg]
    assert (chat.token, chat.url, chat.mistral_api_key) == ("own", "own", "own")
    chat.invoke("Hello!")
    assert server.request.headers["authorization"] == f"Bearer {KEY}"
    assert CHAT(token=KEY).api_key.get_secret_value() == KEY  # the base has its aliases still


def test_a_field_of_a_subclass_is_never_sent_as_a_key(server: Server) -> None:
    settings = {name: value for name, value in server.settings.items() if name != "api_key"}
    chat = WithNamesOfItsOwn(token="its-own-secret", **settings)
    assert chat.api_key is None
    assert "token" in inspect.signature(WithNamesOfItsOwn).parameters
    assert not str(inspect.signature(WithNamesOfItsOwn).parameters["stop"]).count("Annotated")


@pytest.mark.parametrize("name", ["api_key", *KEYS])
async def test_a_key_given_to_a_call_is_refused_before_anything_is_traced(
    server: Server, name: str
) -> None:
    traced: list[str] = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            traced.append(repr((args, kwargs)))

        def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            traced.append(repr((args, kwargs)))

    settings: dict[str, Any] = {**server.settings, "callbacks": [Tracer()]}
    for model in (CHAT(**settings), VoxtralLLM(**settings)):
        bound: Runnable[Any, Any] = model.bind(**{name: "sk-of-a-call"})
        with pytest.raises(VoxtralInvalidRequestError, match="set at the constructor"):
            bound.invoke("Hello!")
        with pytest.raises(VoxtralInvalidRequestError, match="set at the constructor"):
            next(bound.stream("Hello!"))
        with pytest.raises(VoxtralInvalidRequestError, match="set at the constructor"):
            bound.batch(["Hello!", "Bye!"])
        with pytest.raises(VoxtralInvalidRequestError, match="set at the constructor"):
            await bound.ainvoke("Hello!")
        with pytest.raises(VoxtralInvalidRequestError, match="set at the constructor"):
            await anext(bound.astream("Hello!"))
    assert (traced, server.requests) == ([], [])
