"""Starting, sharing, forking and stopping the server, in separate processes where it matters."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from langchain_voxtral.local import LocalVoxtral, VoxtralLocalError, create_app, shared_server
from langchain_voxtral.local.listener import Listener
from langchain_voxtral.local.weights import ensure_text_model

BOTH_LINE = (
    "Embedded engine: SmolLM2-135M-Instruct answers, whisper-base transcribes; neither is Voxtral\n"
)
TEXT_LINE = "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral\n"
ASK = """
import json, os, sys, urllib.request, warnings
from langchain_voxtral.local import LocalVoxtral, serve, shared_server

# Python 3.12 warns of any fork of a process with threads: that it works is what is tested.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
CAPITAL = {"input": "The capital of France is", "max_new_tokens": 1, "temperature": 0}

def ask(server, **fields):
    request = urllib.request.Request(
        f"{server.base_url}/inference/SmolLM2-135M-Instruct",
        json.dumps({**CAPITAL, **fields}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {server.api_key}"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return json.load(answer)["results"][0]["generated_text"]
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with warnings, including resource warnings, as errors."""
    return subprocess.run(  # noqa: S603 - programs of this file
        [sys.executable, "-X", "dev", "-W", "error", "-c", ASK + program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_server_starts_and_stops_again_and_again() -> None:
    server = LocalVoxtral(n_ctx=512)
    urls = []
    for _ in range(2):
        with server:
            urls.append(server.base_url)
            health = httpx.get(f"{server.base_url.removesuffix('/v1')}/health", trust_env=False)
            assert health.status_code == 200
            assert repr(server) == f"LocalVoxtral({server.base_url})"
    with pytest.raises(VoxtralLocalError):
        _ = server.base_url
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[-1], trust_env=False)


def test_it_leaves_the_signals_and_the_loggers_of_the_process_alone(
    local_server: LocalVoxtral,
) -> None:
    assert local_server.base_url
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    access = logging.getLogger("uvicorn.access")
    assert (access.level, access.propagate, access.handlers) == (logging.NOTSET, True, [])


def test_threads_share_one_server_that_announces_itself() -> None:
    done = run(
        """
import threading
servers = []
threads = [threading.Thread(target=lambda: servers.append(shared_server())) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len({id(server) for server in servers}), ask(servers[0]))
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("1  Paris\n", TEXT_LINE, 0)


def test_the_announcement_can_be_disabled() -> None:
    done = run(
        """
import logging
logging.getLogger("langchain_voxtral.local").setLevel(logging.ERROR)
shared_server()
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_starts_its_own_server_and_exits_normally() -> None:
    done = run(
        """
server = shared_server()
child = os.fork()
if child == 0:
    own = shared_server()
    print(own is server, own.base_url == server.base_url, ask(own), flush=True)
    own.stop()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask(server), shared_server() is server)
"""
    )
    assert done.stdout == "False False  Paris\n7  Paris True\n"
    assert (done.stderr, done.returncode) == (TEXT_LINE * 2, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_it_closes_everything_and_so_does_a_forked_child_that_never_used_it() -> None:
    done = run(
        """
with LocalVoxtral(n_ctx=512) as server:
    child = os.fork()
    if child == 0:
        sys.exit(9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask(server))
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("9  Paris\n", "", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_serving_prints_its_address_and_ends_on_ctrl_c() -> None:
    program = ASK + "serve(port=0, n_ctx=512); print('ended')"
    with subprocess.Popen(  # noqa: S603 - a program of this file
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        base_url = lines[1].split()[2]
        health = httpx.get(f"{base_url.removesuffix('/v1')}/health", trust_env=False)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert health.json() == {"status": "ok", "model": "SmolLM2-135M-Instruct"}
    assert lines == [
        BOTH_LINE,
        f"Serving on {base_url} (Ctrl-C ends it). Use it with\n",
        f"  VOXTRAL_BASE_URL={base_url} langchain-voxtral chat\n",
    ]
    assert (out, err, process.returncode) == ("ended\n", "", 0)


def test_a_process_ends_while_the_engine_generates() -> None:
    """The server is not stopped; its thread is inside llama.cpp when the program ends."""
    done = run(
        """
import contextlib, threading
server = LocalVoxtral().start()
engine = server.app.model.engine
endless = {"response_format": {"type": "regex", "regex": "[a-z ]{30000}"}, "max_new_tokens": 3000}
def ask_without_end():
    with contextlib.suppress(OSError):  # the server stops first
        ask(server, **endless)
threading.Thread(target=ask_without_end, daemon=True).start()
while engine.tokens_generated < 3: pass
print("ends", engine.tokens_generated < 3000)
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ends True\n", "", 0)


def test_a_custom_model_is_served_under_its_name(tmp_path: Path) -> None:
    own = tmp_path / "my-model.gguf"
    own.symlink_to(ensure_text_model())
    with LocalVoxtral(model=own, n_ctx=512, api_key="") as server:
        answer = httpx.post(
            f"{server.base_url}/inference/my-model",
            json={"input": "The capital of France is", "max_new_tokens": 1, "temperature": 0},
            trust_env=False,
        )
        assert server.model_name == "my-model"
    assert answer.json()["results"] == [{"generated_text": " Paris"}]
    assert answer.headers["x-voxtral-model"] == "my-model"


async def test_the_application_can_be_served_by_a_custom_server() -> None:
    app = create_app(n_ctx=512, hosts=["test"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        answer = await client.post(
            "http://test/v1/inference/SmolLM2-135M-Instruct",
            json={"input": "The capital of France is", "max_new_tokens": 1, "temperature": 0},
        )
    app.close(10)
    assert answer.json()["results"] == [{"generated_text": " Paris"}]


def test_the_shared_server_of_this_process_is_the_same_every_time() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(shared_server()))
    thread.start()
    thread.join()
    assert found == [shared_server()]


def test_a_start_that_fails_is_raised_in_every_waiting_caller(local_server: LocalVoxtral) -> None:
    closed = socket.socket()
    closed.close()
    failing = Listener(local_server.app)
    failing.run([closed])
    assert failing.is_settled.is_set()
    assert isinstance(failing.failure, OSError)
