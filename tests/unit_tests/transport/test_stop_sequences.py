"""Stop sequences are enforced, whatever the server does with them."""

import pytest
from pydantic import ValidationError
from support.call_modes import Caller, Response
from support.scripted_server import End, Repeat, ScriptedServer
from support.sse_replies import events, final, streamed, token, whole

from langchain_voxtral.errors import VoxtralInvalidRequestError

MARKER = "<|eot_id|>"
USAGE = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}
STOPPED = {
    "model_name": "mistralai/Voxtral-Mini-3B-2507",
    "model_provider": "deepinfra",
    "endpoint": "native",
    "finish_reason": "stop",
}
COUNTED = {"cost": 0.0000386, "usage_metadata": USAGE}
CLOSED_EARLY = STOPPED | {"finish_reason_source": "derived", "usage_incomplete": True}


@pytest.mark.parametrize(
    "ignored",
    [["one", " two", " ST", "OP", " three"], ["one two STOP three"], list("one two STOP")],
)
def test_a_stop_that_the_server_ignores_is_cut_off_across_chunks(
    caller: Caller, ignored: list[str]
) -> None:
    with ScriptedServer(whole("".join(ignored)), streamed(*ignored)) as server:
        model = caller.model(server)
        invoked = caller.invoke(model, stop=["STOP"])
        chunks = list(caller.stream(model, stop=["STOP"]))
    assert (invoked.text, invoked.info["finish_reason"]) == ("one two ", "stop")
    assert "".join(chunk.text for chunk in chunks) == "one two "
    assert chunks[-1] == Response("", STOPPED | {"finish_reason_source": "server"} | COUNTED)
    assert [chunk.info for chunk in chunks[:-1]] == [{}] * (len(chunks) - 1)


def test_the_metadata_of_a_stream_that_went_on_after_the_stop_is_collected(caller: Caller) -> None:
    reply = events(
        token("one STOP"), *[token("more")] * 9, final(details={"finish_reason": "length"})
    )
    with ScriptedServer(reply) as server:
        chunks = list(caller.stream(caller.model(server), stop=["STOP"]))
    ended = STOPPED | {"finish_reason_source": "derived"} | COUNTED
    assert chunks == [Response("one "), Response("", ended)]


def test_a_stream_that_never_ends_after_the_stop_is_closed(caller: Caller) -> None:
    with ScriptedServer(events(token("one STOP"), Repeat(token("more"), 0.001))) as server:
        chunks = list(caller.stream(caller.model(server), stop=["STOP"]))
        server.wait_until_disconnected()
    assert chunks == [Response("one "), Response("", CLOSED_EARLY)]


@pytest.mark.parametrize("limits", [{}, {"stream_idle_timeout": None}])
def test_a_stream_that_stalls_after_the_stop_is_closed(
    caller: Caller, limits: dict[str, None]
) -> None:
    with ScriptedServer(events(token("one STOP"), End.STALL)) as server:
        chunks = list(caller.stream(caller.model(server, **limits), stop=["STOP"]))
        server.wait_until_disconnected()
    assert chunks == [Response("one "), Response("", CLOSED_EARLY)]


def test_a_stream_that_stalls_after_its_final_event_is_complete(caller: Caller) -> None:
    with ScriptedServer(events(token("one"), final(), End.STALL)) as server:
        chunks = list(caller.stream(caller.model(server)))
        server.wait_until_disconnected()
    assert chunks[-1].info == STOPPED | {"finish_reason_source": "server"} | COUNTED


@pytest.mark.parametrize("ending", [[End.CUT], [End.RESET], [b'data: {"error": "CUDA OOM"}\n\n']])
def test_a_stream_that_fails_after_the_stop_is_complete(
    caller: Caller, ending: list[End | bytes]
) -> None:
    with ScriptedServer(events(token("one STOP"), *ending)) as server:
        chunks = list(caller.stream(caller.model(server), stop=["STOP"]))
    assert chunks == [Response("one "), Response("", CLOSED_EARLY)]


SIXTEEN = [f"stop{number}" for number in range(16)]


@pytest.mark.parametrize(
    ("of_model", "of_call", "sent", "text"),
    [
        (None, None, [MARKER], "one END two ST three"),
        (["END"], None, ["END", MARKER], "one "),
        (["END"], ["ST"], ["ST", MARKER], "one END two "),
        (["END"], [], [], f"one END two ST three{MARKER}four"),
        (None, [], [], f"one END two ST three{MARKER}four"),
        ([], None, [], f"one END two ST three{MARKER}four"),
        ([], ["ST"], ["ST", MARKER], "one END two "),
        (None, [MARKER], [MARKER], "one END two ST three"),
        (None, SIXTEEN, SIXTEEN, "one END two ST three"),
    ],
)
def test_stops_are_sent_and_cut_by_one_rule(
    caller: Caller,
    of_model: list[str] | None,
    of_call: list[str] | None,
    sent: list[str],
    text: str,
) -> None:
    """The call's stops replace the model's; the format's end token is added if it fits."""
    answer = f"one END two ST three{MARKER}four"
    with ScriptedServer(whole(answer), streamed(answer)) as server:
        model = caller.model(server, stop=of_model)
        invoked = caller.invoke(model, stop=of_call).text
        joined = "".join(chunk.text for chunk in caller.stream(model, stop=of_call))
    assert [seen.body["stop"] for seen in server.requests] == [sent, sent]
    assert [invoked, joined] == [text, text]


def test_more_stops_than_the_server_accepts_are_refused(caller: Caller) -> None:
    seventeen = [*SIXTEEN, "one more"]
    with ScriptedServer() as server:
        with pytest.raises(ValidationError, match="17 stop sequences were given"):
            caller.model(server, stop=seventeen)
        model = caller.model(server)
        with pytest.raises(VoxtralInvalidRequestError, match="17 stop sequences were given"):
            caller.invoke(model, stop=seventeen)
        with pytest.raises(VoxtralInvalidRequestError, match="17 stop sequences were given"):
            list(caller.stream(model, stop=seventeen))
    assert server.requests == []
