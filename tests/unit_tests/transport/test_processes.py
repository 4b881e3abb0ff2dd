"""One model in several processes, and copies of it while it streams."""

import copy
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.call_modes import Caller, Model
from support.scripted_server import Gate, ScriptedServer
from support.sse_replies import event, events, final, json_reply, token, whole
from support.subprocesses import run_python

pytestmark = pytest.mark.usefixtures("_no_earlier_models", "_no_open_sockets")

FINE = whole("Hello!")
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def test_a_stream_continues_when_a_child_is_forked_in_its_middle() -> None:
    """The child closes its copy of the stream at exit, but not the connection."""
    script = """
        import os, sys
        from langchain_voxtral import ChatVoxtral
        chat = ChatVoxtral(base_url=sys.argv[1])
        chunks = chat.stream("of the parent")
        assert next(chunks).text == "Hel"
        child = os.fork()
        if child == 0:
            assert chat.invoke("of the child").text == "Hello!"
            sys.exit()
        assert os.waitpid(child, 0) == (child, 0)
        assert chat.invoke("of the parent").text == "Hello!"
        assert "".join(chunk.text for chunk in chunks) == "lo!"
    """
    gate = Gate()
    with ScriptedServer(events(token("Hel"), gate, token("lo!"), final()), default=FINE) as server:

        def go_on() -> None:
            server.wait_for_requests(3)
            gate.open()

        waiting = threading.Thread(target=go_on)
        waiting.start()
        run_python(script, server.url)
        waiting.join()
    streamed, child, parent = [seen.connection.port for seen in server.requests]
    assert len({streamed, child, parent}) == 3
    assert [seen.connection.sent for seen in server.requests] == [3, 0, 0]


@pytest.mark.parametrize(
    ("start_method", "key_from"),
    [("spawn", "environment"), pytest.param("fork", "pickle", marks=NEEDS_FORK)],
)
def test_a_used_model_serves_a_pool_of_processes(start_method: str, key_from: str) -> None:
    script = """
        import multiprocessing, sys
        from concurrent.futures import ProcessPoolExecutor
        from langchain_voxtral import ChatVoxtral
        url, start_method, key_from = sys.argv[1:]
        key = {"api_key": "secret", "pickle_api_key": True} if key_from == "pickle" else {}
        chat = ChatVoxtral(base_url=url, **key)
        chat.invoke("of the parent")
        context = multiprocessing.get_context(start_method)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            answers = list(pool.map(chat.invoke, ["of a child"] * 2))
        assert [answer.text for answer in answers] == ["Hello!"] * 2
        chat.invoke("of the parent")
    """
    environment = dict(os.environ)
    if key_from == "environment":
        environment["VOXTRAL_API_KEY"] = "secret"
    with ScriptedServer(default=FINE) as server:
        run_python(script, server.url, start_method, key_from, environment=environment)
    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer secret"] * 4
    parent, child, _, again = [seen.connection.port for seen in server.requests]
    assert parent == again != child


def test_errors_survive_a_pool_of_processes(tmp_path: Path) -> None:
    script = """
        import multiprocessing, pickle, sys
        from concurrent.futures import ProcessPoolExecutor
        from pathlib import Path
        from langchain_voxtral import ChatVoxtral
        url, path = sys.argv[1:]
        chat = ChatVoxtral(base_url=url, streaming=True, max_retries=0)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            errors = [pool.submit(chat.invoke, "Hello!").exception() for _ in range(2)]
        facts = "partial status_code request_id retry_after attempts is_retryable message".split()
        told = [[type(e).__name__, *(getattr(e, fact) for fact in facts)] for e in errors]
        Path(path).write_bytes(pickle.dumps(told))
    """
    result_file = tmp_path / "told"
    busy = json_reply(
        {"error": {"message": "busy"}},
        status=429,
        headers={"x-request-id": "R1", "retry-after": "2"},
    )
    failing = events(
        token("Hel"), event({"error": {"message": "CUDA OOM"}}), headers={"x-request-id": "R2"}
    )
    with ScriptedServer(busy, failing) as server:
        run_python(script, server.url, str(result_file))
    first, second = pickle.loads(result_file.read_bytes())  # noqa: S301 - our own
    assert first[:-1] == ["VoxtralRateLimitError", "", 429, "R1", 2.0, 1, True]
    assert second[:-1] == ["VoxtralAPIError", "Hel", 200, "R2", None, 1, True]
    assert "busy" in first[-1]
    assert "CUDA OOM" in second[-1]


def pickled(model: Model) -> Model:
    copied: Model = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    return copied


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: model.model_copy(), pickled]
)
def test_a_copy_made_while_the_model_streams_works_and_leaves_the_stream_alone(
    caller: Caller, copied: Callable[[Model], Model]
) -> None:
    gate = Gate()
    with ScriptedServer(events(token("Hel"), gate, token("lo"), final()), default=FINE) as server:
        model = caller.model(server)
        chunks = caller.stream(model)
        assert next(chunks).text == "Hel"
        other = copied(model)
        assert caller.invoke(other).text == "Hello!"
        caller.close(other)
        gate.open()
        assert "".join(chunk.text for chunk in chunks) == "lo"
        caller.close(model)
        server.wait_until_disconnected()
