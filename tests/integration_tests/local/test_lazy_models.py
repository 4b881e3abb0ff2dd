"""Models that are fetched and loaded for the first request that needs them."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from support.speech_samples import JFK

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local import LocalVoxtral, create_app
from langchain_voxtral.local.engine.llama import Engine
from langchain_voxtral.local.models import LoadedModel, TextModel
from langchain_voxtral.local.prompting.chat_template import SMOLLM2_TEMPLATE
from langchain_voxtral.local.server import introduction
from langchain_voxtral.local.weights import ensure_speech_model, ensure_text_model

CAPITAL = {"input": "The capital of France is", "max_new_tokens": 1, "temperature": 0}
CHAT = {
    "model": "SmolLM2-135M-Instruct",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 1,
}
NOT_THERE = (
    "The weights of SmolLM2-135M-Instruct are not on this machine, and VOXTRAL_OFFLINE forbids "
    "fetching them. Name a GGUF file in VOXTRAL_GGUF, or unset VOXTRAL_OFFLINE."
)


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine without weights that fetches none; `undo` gives it the weights."""
    with monkeypatch.context() as environment:
        environment.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
        environment.setenv("VOXTRAL_OFFLINE", "1")
        environment.delenv("VOXTRAL_GGUF", raising=False)
        environment.delenv("VOXTRAL_WHISPER", raising=False)
        yield environment


@pytest.fixture
def server(no_weights: pytest.MonkeyPatch) -> Iterator[LocalVoxtral]:
    """A server that runs without its models."""
    started = LocalVoxtral(n_ctx=512, api_key="").start(text=False)
    yield started
    started.stop()


@pytest.fixture
def http(server: LocalVoxtral) -> Iterator[httpx.Client]:
    base_url = server.base_url.removesuffix("v1")
    with httpx.Client(base_url=base_url, trust_env=False, timeout=60) as client:
        yield client


def test_what_needs_no_model_is_answered_without_it(
    server: LocalVoxtral, http: httpx.Client
) -> None:
    health = http.get("health")
    assert health.json() == {"status": "ok", "model": "SmolLM2-135M-Instruct"}
    assert health.headers["x-voxtral-model"] == "SmolLM2-135M-Instruct"
    models = http.get("v1/models").json()["data"]
    assert [model["id"] for model in models] == list(server.app.model.ids)
    assert models[0]["metadata"]["context_length"] == 512
    assert http.get("v1/openai/models/SmolLM2-135M-Instruct").status_code == 200
    assert http.post("v1/inference/other", json=CAPITAL).status_code == 404
    assert http.post("v1/inference/SmolLM2-135M-Instruct", json={}).status_code == 422
    assert server.model_name == "SmolLM2-135M-Instruct"
    assert not server.app.model.is_loaded


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("v1/inference/SmolLM2-135M-Instruct", CAPITAL),
        ("v1/inference/SmolLM2-135M-Instruct", {**CAPITAL, "stream": True}),
        ("v1/chat/completions", CHAT),
        ("v1/chat/completions", {**CHAT, "stream": True}),
    ],
)
def test_a_model_that_cannot_be_had_is_a_503_that_says_why(
    http: httpx.Client, path: str, body: dict[str, object]
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()) == (503, {"error": {"message": NOT_THERE}})


def test_the_next_request_tries_again_and_requests_at_once_load_it_once(
    http: httpx.Client, server: LocalVoxtral, no_weights: pytest.MonkeyPatch
) -> None:
    def ask(_: int) -> httpx.Response:
        return http.post("v1/inference/SmolLM2-135M-Instruct", json=CAPITAL)

    assert ask(0).status_code == 503
    no_weights.undo()
    with ThreadPoolExecutor(3) as executor:
        answers = list(executor.map(ask, range(3)))
    assert [answer.json()["results"] for answer in answers] == [[{"generated_text": " Paris"}]] * 3
    assert server.app.model.is_loaded


class CountingModel(TextModel):
    """A model that counts how often it is loaded, and fails the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def _load(self) -> LoadedModel:
        self.loads += 1
        if self.loads == 1:
            raise VoxtralLocalError("not now")
        self.has_begun.set()
        self.may_end.wait()
        return LoadedModel(Engine.__new__(Engine), SMOLLM2_TEMPLATE)


def test_threads_load_a_model_once_and_a_failed_load_is_tried_again() -> None:
    model = CountingModel()
    with pytest.raises(VoxtralLocalError, match="not now"):
        model.load()
    with ThreadPoolExecutor(3) as executor:
        loads = [executor.submit(model.load) for _ in range(3)]
        model.has_begun.wait()
        assert not model.is_loaded
        model.may_end.set()
        loaded = {id(load.result()) for load in loads}
    assert (model.loads, len(loaded), model.is_loaded) == (2, 1, True)


def test_a_start_that_cannot_load_its_model_leaves_no_server(
    no_weights: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = LocalVoxtral(port=port, n_ctx=512)
    with pytest.raises(VoxtralLocalError, match=r"^The weights of SmolLM2"):
        server.start()
    assert repr(server) == "LocalVoxtral(stopped)"
    with socket.create_server(("127.0.0.1", port)):
        pass  # it is free
    no_weights.undo()
    with server:
        assert server.is_ready()


def test_a_port_that_is_taken_fails_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = LocalVoxtral(port=taken.getsockname()[1])
        models = server.models
        with pytest.raises(VoxtralLocalError, match=r"cannot listen on 127\.0\.0\.1 port"):
            server.start()
    assert not models.text.is_loaded


def test_a_running_server_survives_a_model_that_cannot_be_loaded(server: LocalVoxtral) -> None:
    with pytest.raises(VoxtralLocalError, match=r"^The weights of SmolLM2"):
        server.start()
    assert (server.is_ready(text=False), server.is_ready()) == (True, False)


def test_a_wrong_name_of_the_speech_model_fails_before_anything_is_loaded(tmp_path: Path) -> None:
    server = LocalVoxtral(speech_model=str(tmp_path))
    models = server.models
    with pytest.raises(VoxtralLocalError) as caught:
        server.start()
    assert not models.text.is_loaded
    assert str(caught.value) == (
        f"speech_model={str(tmp_path)!r} is a folder without model.bin, config.json, "
        "tokenizer.json. Name one that has a model for CTranslate2: model.bin, config.json, "
        "tokenizer.json."
    )


def test_an_application_for_another_server_has_its_model_from_the_start(
    no_weights: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(VoxtralLocalError, match=r"^The weights of SmolLM2"):
        create_app()


def test_a_server_that_stops_while_its_model_loads_answers_with_503(tmp_path: Path) -> None:
    """The request waits for a lock of the model, as for a download."""
    server = LocalVoxtral(n_ctx=512, api_key="").start(text=False)
    model = server.app.model
    with model._loading, ThreadPoolExecutor(2) as executor:
        url = f"{server.base_url}/inference/SmolLM2-135M-Instruct"
        answer = executor.submit(httpx.post, url, json=CAPITAL, trust_env=False, timeout=60)
        scheduler = server.app._text._scheduler
        while scheduler._running is None:
            pass
        stopping = executor.submit(server.app.close, 0)
        stopping.result()
        assert answer.result().json() == {"error": {"message": "The server is stopping"}}
    server.stop()


# The shared server, in processes of their own


def run(program: str, cache: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    setup = (
        "import os, sys, threading\n"
        "real_cache = os.environ.pop('VOXTRAL_CACHE', None)\n"
        f"os.environ |= {{'VOXTRAL_CACHE': {str(cache)!r}, 'VOXTRAL_OFFLINE': '1'}}\n"
        "import warnings\n"
        # Python 3.12 warns of any fork of a process with threads: that it works is tested.
        "warnings.filterwarnings('ignore', 'This process .* is multi-threaded')\n"
        "from langchain_voxtral.local import *\n"
        "def have_weights():\n"
        "    del os.environ['VOXTRAL_CACHE'], os.environ['VOXTRAL_OFFLINE']\n"
        "    os.environ |= {'VOXTRAL_CACHE': real_cache} if real_cache else {}\n"
    )
    return subprocess.run(  # noqa: S603 - a program of this file
        [sys.executable, "-W", "error", "-c", setup + program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_shared_server_loads_what_is_asked_for_and_tells_each_once(tmp_path: Path) -> None:
    done = run(
        """
print(is_running(text=False))
server = shared_server(text=False)
print(is_running(text=False), is_running())
try:
    shared_server()
except VoxtralLocalError as error:
    print(error)
have_weights()
print(shared_server() is server, is_running(), is_running(speech=True), len(list(server.models)))
shared_server()
""",
        tmp_path / "cache",
    )
    assert done.stdout.splitlines() == [
        "False",
        "True False",
        NOT_THERE,
        "True True False 2",
    ]
    line = "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral\n"
    assert (done.stderr, done.returncode) == (line, 0)
    assert not (tmp_path / "cache").exists()


def test_a_process_may_end_while_a_thread_starts_the_engine(tmp_path: Path) -> None:
    done = run(
        """
have_weights()
threading.Thread(target=shared_server, daemon=True).start()
""",
        tmp_path / "cache",
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_waits_while_a_thread_loads_a_model(tmp_path: Path) -> None:
    """A child that had half of it could hang or abort."""
    done = run(
        """
from langchain_voxtral.local.engine.forks import delay_forks
have_weights()
server = shared_server(text=False)
has_begun, is_forking = threading.Event(), threading.Event()
def load():
    with delay_forks():
        has_begun.set()
        is_forking.wait()
        shared_server()
threading.Thread(target=load).start()
os.register_at_fork(before=is_forking.set)  # this runs before what makes the fork wait
has_begun.wait()
child = os.fork()
if child == 0:
    if (grandchild := os.fork()) == 0:
        os._exit(0)
    os.waitpid(grandchild, 0)
    own = shared_server()
    print(server.models.text.is_loaded, own is server, own.is_ready(), flush=True)
    own.stop()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        tmp_path / "cache",
    )
    line = "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral\n"
    assert (done.stdout, done.stderr, done.returncode) == ("True False True\n7\n", line * 2, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_ends_though_the_speech_model_could_not_be_loaded(tmp_path: Path) -> None:
    """The libraries were, and have threads that the child does not have."""
    done = run(
        """
try:
    shared_server(text=False, speech=True)
except VoxtralLocalError:
    child = os.fork()
    if child == 0:
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        tmp_path / "cache",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)


@pytest.fixture
def cache_with(tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes a cache with one model, without another copy of its weights."""

    def make(model: str) -> Path:
        (tmp_path / "cache").mkdir()
        path = ensure_text_model() if model == "text" else Path(ensure_speech_model())
        (tmp_path / "cache" / path.name).symlink_to(path)
        return tmp_path / "cache"

    return make


def test_who_only_transcribes_needs_no_language_model(
    cache_with: Callable[[str], Path],
) -> None:
    done = run(
        """
import asyncio
from langchain_voxtral import VoxtralTranscriber, VoxtralTranscriptionParser
[one] = VoxtralTranscriptionParser(base_url="local").parse(sys.argv[1])
print(is_running(text=False, speech=True), is_running())
for endpoint in ({}, {"endpoint": "native"}, {"endpoint": "chat"}):
    transcriber = VoxtralTranscriber(base_url="local", **endpoint)
    try:
        print(asyncio.run(transcriber.ainvoke(sys.argv[1])) == one.page_content)
    except VoxtralLocalError as error:
        print(error)
print(shared_server(text=False).models.text.is_loaded)
have_weights()
print(shared_server() is shared_server(speech=True))
""",
        cache_with("speech"),
        str(JFK),
    )
    not_there = f"{JFK}: {NOT_THERE}"
    assert done.stdout.splitlines() == ["True False", "True", "True", not_there, "False", "True"]
    assert done.stderr.splitlines() == [
        "Embedded engine: whisper-base transcribes; it is not Voxtral",
        "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral",
    ]
    assert done.returncode == 0


def test_who_only_writes_needs_no_speech_model(cache_with: Callable[[str], Path]) -> None:
    """A recording in a chat needs it, and the error comes before the request."""
    done = run(
        """
from pathlib import Path
from langchain_core.messages import HumanMessage
from langchain_voxtral import ChatVoxtral, audio_block
model = ChatVoxtral(base_url="local", temperature=0, max_tokens=1)
print(bool(model.invoke("Hello").text))
question = [HumanMessage([audio_block(Path(sys.argv[1]))])]
for ask in (model.invoke, lambda question: list(model.stream(question))):
    try:
        ask(question)
    except VoxtralLocalError as error:
        print(error)
print(shared_server().models.speech.is_loaded)
""",
        cache_with("text"),
        str(JFK),
    )
    not_there = (
        "The weights of whisper-base are not on this machine, and VOXTRAL_OFFLINE forbids fetching "
        "them. Name the folder of a CTranslate2 model in VOXTRAL_WHISPER, or unset VOXTRAL_OFFLINE."
    )
    assert done.stdout.splitlines() == ["True", not_there, not_there, "False"]
    line = "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral\n"
    assert (done.stderr, done.returncode) == (line, 0)


# What is said of the models


def test_the_line_names_the_models_and_says_that_they_are_not_voxtral() -> None:
    text, speech = LocalVoxtral().models
    own = TextModel("dir/Voxtral-Mini-Q4.gguf")
    assert introduction([text]) == (
        "Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral"
    )
    assert introduction([speech]) == (
        f"Embedded engine: {speech.name} transcribes; it is not Voxtral"
    )
    assert introduction([text, speech]) == (
        f"Embedded engine: SmolLM2-135M-Instruct answers, {speech.name} transcribes; "
        "neither is Voxtral"
    )
    assert introduction([own, speech]) == (
        f"Embedded engine: Voxtral-Mini-Q4 answers, {speech.name} transcribes"
    )
