"""Copies and pickles of a model that was used."""

import copy
import pickle
from collections.abc import Callable

import pytest
from support.call_modes import Caller, Model
from support.scripted_server import ScriptedServer
from support.sse_replies import whole

from langchain_voxtral.errors import VoxtralAuthenticationError

pytestmark = pytest.mark.usefixtures("_no_open_sockets")

FINE = whole("Hello!")


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda model: model.model_copy(update={"seed": 1})],
    ids=["copy", "deepcopy", "model_copy"],
)
def test_a_copy_of_a_used_model_keeps_its_key_and_is_independent(
    caller: Caller, copied: Callable[[Model], Model]
) -> None:
    with ScriptedServer(default=FINE) as server:
        model = caller.model(server, api_key="secret")
        caller.invoke(model)
        other = copied(model)
        caller.invoke(other)
        caller.close(other)
        caller.invoke(model)
        caller.close(model)
    keys = [seen.headers["authorization"] for seen in server.requests]
    assert keys == ["Bearer secret"] * 3
    assert len(server.connections) == 1


def test_a_pickle_of_a_used_model_works(caller: Caller) -> None:
    with ScriptedServer(default=FINE) as server:
        model = caller.model(server, api_key="secret", pickle_api_key=True)
        caller.invoke(model)
        other: Model = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
        assert caller.invoke(other).text == "Hello!"
        caller.close(other)
        assert caller.invoke(model).text == "Hello!"
        caller.close(model)
    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer secret"] * 3


def test_a_pickle_holds_no_key_unless_requested(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(default=FINE) as server:
        pickled = pickle.dumps(caller.model(server, api_key="secret"))
        model: Model = pickle.loads(pickled)  # noqa: S301 - our own
        with pytest.raises(VoxtralAuthenticationError, match="pickle_api_key=True keeps it"):
            caller.invoke(model)
        monkeypatch.setenv("VOXTRAL_API_KEY", "of-the-environment")
        caller.invoke(model)
        caller.close(model)
    assert b"secret" not in pickled
    [seen] = server.requests
    assert seen.headers["authorization"] == "Bearer of-the-environment"
