"""Keys: their sources, and which server receives them."""

import copy
import pickle
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import KEY, Server

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralAuthenticationError

DEEPINFRA = "https://api.deepinfra.com/v1"
OTHER = "https://voxtral.example.org/v1"
VARIABLES = ("DEEPINFRA_API_TOKEN", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")


def sent(server: Server) -> str | None:
    authorization: str | None = server.requests[-1].headers.get("authorization")
    return authorization


def keyless(server: Server, base_url: str = DEEPINFRA) -> ChatVoxtral:
    return ChatVoxtral(base_url=base_url, **server.settings)


@pytest.mark.parametrize("first", range(3))
def test_the_first_variable_that_is_set_is_read(
    server: Server, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    for variable in VARIABLES[first:]:
        monkeypatch.setenv(variable, f"key-of-{variable}")
    keyless(server).invoke("Hello!")
    assert sent(server) == f"Bearer key-of-{VARIABLES[first]}"


def test_a_blank_variable_counts_as_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", " \n")
    monkeypatch.setenv("DEEPINFRA_TOKEN", "third")
    keyless(server).invoke("Hello!")
    assert sent(server) == "Bearer third"


def test_a_given_key_comes_before_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "from-environment")
    ChatVoxtral(api_key=SecretStr(KEY), **server.settings).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


@pytest.mark.parametrize("pasted", [f" {KEY}\n", f"Bearer {KEY}", f"bearer  {KEY} "])
def test_pasted_extras_around_a_key_are_removed(
    server: Server, monkeypatch: pytest.MonkeyPatch, pasted: str
) -> None:
    ChatVoxtral(api_key=SecretStr(pasted), **server.settings).invoke("Hello!")
    monkeypatch.setenv("DEEPINFRA_API_KEY", pasted)
    keyless(server).invoke("Hello!")
    assert [r.headers["authorization"] for r in server.requests] == [f"Bearer {KEY}"] * 2


def test_the_environment_is_read_at_each_call(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = keyless(server)
    for key in ("one", "two"):
        monkeypatch.setenv("DEEPINFRA_API_TOKEN", key)
        chat.invoke("Hello!")
        assert sent(server) == f"Bearer {key}"


def test_a_model_shows_the_key_that_the_environment_held_when_it_was_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyless(server).api_key is None
    monkeypatch.setenv("DEEPINFRA_TOKEN", KEY)
    chat = keyless(server)
    assert chat.api_key is not None
    assert chat.api_key.get_secret_value() == KEY
    assert KEY not in repr(chat)
    assert ChatVoxtral(base_url="local").api_key is None
    monkeypatch.delenv("DEEPINFRA_TOKEN")
    with pytest.raises(VoxtralAuthenticationError, match="DeepInfra needs a key"):
        chat.invoke("Hello!")


def test_a_shown_key_is_not_sent_to_another_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    keyless(server).model_copy(update={"base_url": OTHER}).invoke("Hello!")
    assert sent(server) is None


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM])
async def test_without_a_key_the_first_call_names_the_variable(
    server: Server, model_class: type[ChatVoxtral | VoxtralLLM], call_mode: str
) -> None:
    model = model_class(**server.settings)
    with pytest.raises(VoxtralAuthenticationError) as caught:
        await ask(model, call_mode, "Hello!")
    assert caught.value.message == (
        "DeepInfra needs a key. Set the environment variable DEEPINFRA_API_TOKEN (or "
        "DEEPINFRA_API_KEY, DEEPINFRA_TOKEN), or give api_key=...; keys come from "
        "https://deepinfra.com/dash/api_keys. Without a key, base_url='local' answers from a "
        "small embedded model."
    )
    assert server.requests == []


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("Bearer ", "is empty"),
        ("bearer", "is empty"),
        ("first-half\nsecond-half", "contains white space"),
        ("first-half second-half", "contains white space"),
        ("first-half\tsecond-half", "contains white space"),
        ("first-half\u2011second-half", "contains white space or characters no key has"),
        ("first-half\x00second-half", "contains white space or characters no key has"),
    ],
)
def test_a_malformed_key_is_refused_and_not_shown(server: Server, key: str, wrong: str) -> None:
    chat = ChatVoxtral(api_key=SecretStr(key), **server.settings)
    with pytest.raises(VoxtralAuthenticationError, match=f"from api_key= {wrong}") as caught:
        chat.invoke("Hello!")
    assert "half" not in str(caught.value)
    assert server.requests == []


def test_a_malformed_key_of_the_environment_is_named_by_its_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_TOKEN", "first-half second-half")
    with pytest.raises(VoxtralAuthenticationError, match="variable DEEPINFRA_TOKEN contains"):
        keyless(server).invoke("Hello!")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.deepinfra.com/v1",
        "https://API.DeepInfra.com/v1",
        "https://eu.api.deepinfra.com/v1",
        "https://deepinfra.com:8443/v1",
    ],
)
def test_deepinfras_keys_are_sent_to_deepinfra(
    server: Server, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    monkeypatch.setenv("VOXTRAL_API_KEY", "of-another")
    keyless(server, base_url).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://voxtral.example.org/v1",
        "https://evil-deepinfra.com/v1",
        "https://evildeepinfra.com/v1",
        "https://api.deepinfra.com.evil.org/v1",
        "https://evil.org/api.deepinfra.com/v1",
        "http://127.0.0.1:8000/v1",
    ],
)
@pytest.mark.parametrize("own_key", [None, "of-another"])
def test_deepinfras_keys_are_sent_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, base_url: str, own_key: str | None
) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, KEY)
    if own_key:
        monkeypatch.setenv("VOXTRAL_API_KEY", own_key)
    keyless(server, base_url).invoke("Hello!")
    assert sent(server) == (None if own_key is None else f"Bearer {own_key}")
    assert KEY not in str(server.request.headers.raw)


def test_deepinfras_keys_do_not_go_over_plain_http(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    with pytest.warns(UserWarning, match="plain http"):
        chat = keyless(server, "http://api.deepinfra.com/v1")
    chat.invoke("Hello!")
    assert sent(server) is None


def test_a_given_key_is_sent_to_the_given_server(server: Server) -> None:
    ChatVoxtral(api_key=SecretStr(KEY), base_url=OTHER, **server.settings).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


def test_a_custom_header_replaces_ours(server: Server) -> None:
    headers = {"Authorization": "Token own", "X-Trace": "7"}
    ChatVoxtral(api_key=SecretStr(KEY), default_headers=headers, **server.settings).invoke("Hi")
    assert server.request.headers.get_list("authorization") == ["Token own"]
    assert server.request.headers["x-trace"] == "7"


# Copies and pickles


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda chat: chat.model_copy(update={"temperature": 0.0})],
    ids=["copy", "deepcopy", "model_copy"],
)
def test_copies_keep_the_key(
    chat: ChatVoxtral, server: Server, duplicate: Callable[[ChatVoxtral], ChatVoxtral]
) -> None:
    chat.invoke("Hello!")
    duplicate(chat).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


def given_client(chat: ChatVoxtral, server: Server) -> ChatVoxtral:
    return chat.model_copy(update=server.settings)


@pytest.mark.parametrize("base_url", [DEEPINFRA, OTHER])
def test_a_pickle_omits_a_given_key_and_the_first_call_says_so(
    server: Server, base_url: str
) -> None:
    chat = ChatVoxtral(api_key=SecretStr(KEY), base_url=base_url, temperature=0.7)
    loaded = pickle.loads(pickle.dumps(chat))  # noqa: S301 - made here
    assert dict(loaded) == dict(chat) | {"api_key": None}
    with pytest.raises(VoxtralAuthenticationError, match="unpickled, and pickles leave out a key"):
        given_client(loaded, server).invoke("Hello!")
    assert server.requests == []


@pytest.mark.parametrize(
    ("base_url", "variable"), [(DEEPINFRA, "DEEPINFRA_API_TOKEN"), (OTHER, "VOXTRAL_API_KEY")]
)
def test_an_unpickled_model_takes_the_key_of_its_new_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, base_url: str, variable: str
) -> None:
    chat = ChatVoxtral(api_key=SecretStr(KEY), base_url=base_url)
    loaded = pickle.loads(pickle.dumps(chat))  # noqa: S301 - made here
    monkeypatch.setenv(variable, "of-the-worker")
    given_client(loaded, server).invoke("Hello!")
    assert sent(server) == "Bearer of-the-worker"


def test_a_pickle_keeps_the_key_if_requested(server: Server) -> None:
    chat = ChatVoxtral(api_key=SecretStr(KEY), pickle_api_key=True)
    loaded = pickle.loads(pickle.dumps(chat))  # noqa: S301 - made here
    assert loaded == chat
    given_client(loaded, server).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


def test_a_model_without_a_given_key_pickles_completely(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = pickle.loads(pickle.dumps(VoxtralLLM(temperature=0.7)))  # noqa: S301 - made here
    assert loaded == VoxtralLLM(temperature=0.7)
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    loaded.model_copy(update=server.settings).invoke("Hello!")
    assert sent(server) == f"Bearer {KEY}"


@pytest.mark.parametrize("pickle_api_key", [False, True])
def test_a_pickle_omits_a_key_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, pickle_api_key: bool
) -> None:
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    pickled = pickle.dumps(ChatVoxtral(base_url=OTHER, pickle_api_key=pickle_api_key))
    assert KEY.encode() not in pickled
    monkeypatch.delenv("VOXTRAL_API_KEY")
    given_client(pickle.loads(pickled), server).invoke("Hello!")  # noqa: S301 - made here
    assert sent(server) is None


def test_a_model_with_a_custom_client_cannot_be_pickled_and_says_why(chat: ChatVoxtral) -> None:
    with pytest.raises(pickle.PicklingError, match="an open client belongs to its process"):
        pickle.dumps(chat)


def test_copies_share_the_callers_clients(chat: ChatVoxtral) -> None:
    for duplicate in (copy.copy(chat), copy.deepcopy(chat), chat.model_copy(deep=True)):
        assert duplicate == chat
        assert duplicate.http_client is chat.http_client
        assert duplicate.http_async_client is chat.http_async_client
