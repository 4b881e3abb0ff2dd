"""The speech engine's queue, disconnecting clients, forks, and the missing extra."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.local_speech import FRAMES, wav
from support.speech_samples import JFK
from support.subprocesses import run_python

from langchain_voxtral.local import LocalVoxtral

NATIVE = "inference/mistralai/Voxtral-Mini-3B-2507"
PATIENCE = 60.0
FREED_IN = 20.0


LONG = wav(FRAMES * 66)
"""Twelve minutes: transcribing them takes longer than freeing the engine may."""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalVoxtral]:
    """A server that transcribes one recording at a time, without a queue."""
    with LocalVoxtral(n_ctx=512, api_key="", queue_size=0) as running:
        yield running


NO_SOUND = {"audio": b"Dear diary, ..."}
"""Refused at once by a free engine, so it shows whether the engine is free."""


def connected(server: LocalVoxtral) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.base_url, trust_env=False, timeout=PATIENCE)


async def transcribe_long(client: httpx.AsyncClient) -> httpx.Response:
    while (answer := await client.post(NATIVE, files={"audio": LONG})).status_code == 429:
        pass  # the other request had just arrived
    return answer


async def busy(client: httpx.AsyncClient) -> httpx.Response:
    """Return the first response that reports a full queue."""
    while (answer := await client.post(NATIVE, files=NO_SOUND)).status_code != 429:
        assert answer.status_code == 400
    return answer


async def test_a_client_that_disconnects_frees_the_engine_and_others_get_retry_after(
    server: LocalVoxtral,
) -> None:
    async with connected(server) as client, asyncio.timeout(PATIENCE):
        leaving = asyncio.create_task(transcribe_long(client))
        refused = await busy(client)
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "engine_overloaded"
        # The event loop is free, and so is the model that answers.
        assert (await client.get("openai/models")).status_code == 200
        assert (
            await client.post(NATIVE, json={"input": "Hi", "max_new_tokens": 1})
        ).status_code == 200
        assert not leaving.done()
        leaving.cancel()
        async with asyncio.timeout(FREED_IN):
            while (await client.post(NATIVE, files=NO_SOUND)).status_code == 429:
                pass


async def test_a_stopping_server_ends_transcriptions(server: LocalVoxtral) -> None:
    async with connected(server) as client, asyncio.timeout(PATIENCE):
        cut = asyncio.create_task(transcribe_long(client))
        await busy(client)
        await asyncio.to_thread(server.stop)
        answer = await cut
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": {"message": "The server is stopping"}},
    )


def test_without_the_extra_the_error_says_what_to_install() -> None:
    """The server starts without all of it, and names each library that is missing."""
    run_python(
        """
        import sys
        libraries = ["faster_whisper", "python_multipart", "av"]
        sys.modules |= dict.fromkeys([*libraries, "multipart"])  # the last is an old name
        import httpx
        from langchain_voxtral.local import LocalVoxtral

        server = LocalVoxtral(api_key="").start(text=False)
        for library in libraries:
            answer = httpx.post(
                f"{server.base_url}/inference/mistralai/Voxtral-Mini-3B-2507",
                files={"audio": b"RIFF"},
                trust_env=False,
            )
            message = answer.json()["error"]["message"]
            assert (answer.status_code, message) == (
                405,
                f"The embedded engine needs {library} for recordings, which is not installed: "
                'pip install "langchain-voxtral[local-speech]"',
            ), answer.text
            del sys.modules[library]
        """
    )


def test_the_clients_error_says_what_to_install() -> None:
    run_python(
        """
        import sys
        sys.modules["faster_whisper"] = None
        import logging
        logging.disable()
        from langchain_voxtral import VoxtralTranscriptionParser
        from langchain_voxtral.local import VoxtralMissingExtraError

        try:
            VoxtralTranscriptionParser(base_url="local").parse(sys.argv[1])
        except VoxtralMissingExtraError as error:
            assert 'pip install "langchain-voxtral[local-speech]"' in str(error), error
        else:
            raise AssertionError("it was heard")
        """,
        str(JFK),
    )


def test_a_library_that_does_not_load_is_named_with_what_it_needs(tmp_path: Path) -> None:
    package = tmp_path / "faster_whisper"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libgomp.so.1: cannot open')")
    run_python(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import httpx
        from langchain_voxtral.local import LocalVoxtral

        server = LocalVoxtral(api_key="").start(text=False)
        with open(sys.argv[2], "rb") as sound:
            answer = httpx.post(
                f"{server.base_url}/inference/mistralai/Voxtral-Mini-3B-2507",
                files={"audio": sound},
                trust_env=False,
            )
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            503,
            "The embedded engine cannot transcribe: faster-whisper does not load (libgomp.so.1: "
            "cannot open). Install it again: "
            'pip install "langchain-voxtral[local-speech]".',
        ), answer.text
        """,
        str(tmp_path),
        str(JFK),
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_processes_end_while_the_engine_transcribes_and_a_forked_child_can_too(
    tmp_path: Path,
) -> None:
    """No server is stopped; a thread is inside CTranslate2 when they end."""
    minute = tmp_path / "minute.wav"
    minute.write_bytes(wav(FRAMES * 6))
    run_python(
        """
        import contextlib, logging, os, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import httpx
        from langchain_voxtral.local import shared_server

        logging.getLogger("langchain_voxtral").setLevel("ERROR")
        decoding = threading.Event()
        logger = logging.getLogger("faster_whisper")
        logger.setLevel("INFO")
        logger.addFilter(lambda record: decoding.set())  # and nothing is printed

        def transcribe(path):
            server = shared_server(text=False, speech=True)
            with open(path, "rb") as sound:
                return httpx.post(
                    f"{server.base_url}/inference/mistralai/Voxtral-Mini-3B-2507",
                    files={"audio": sound},
                    data={"language": "en"},
                    headers={"authorization": f"Bearer {server.api_key}"},
                    trust_env=False,
                    timeout=60,
                )

        def transcribe_until_the_end():
            with contextlib.suppress(httpx.HTTPError):
                answer = transcribe(sys.argv[1])
                assert answer.status_code == 503, answer.text  # the server stops

        threading.Thread(target=transcribe_until_the_end, daemon=True).start()
        assert decoding.wait(30)
        idle = os.fork()
        if idle == 0:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(idle, 0)[1]) == 7
        child = os.fork()
        if child == 0:
            sys.exit("fellow" not in transcribe(sys.argv[2]).json()["text"])
        assert os.waitpid(child, 0)[1] == 0
        """,
        str(minute),
        str(JFK),
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_transcription_goes_on_while_its_process_forks_again_and_again() -> None:
    """OpenBLAS stops its threads for a fork; whoever computes then would wait for ever."""
    run_python(
        """
        import logging, os, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from langchain_voxtral.audio import Recording
        from langchain_voxtral.local.engine.speech import SpeechEngine

        decoding = threading.Event()
        logger = logging.getLogger("faster_whisper")
        logger.setLevel("INFO")
        logger.addFilter(lambda record: decoding.set())  # and nothing is printed
        texts = []
        engine = SpeechEngine()
        engine.load()
        read = lambda: texts.append(engine.transcribe(Recording(sys.argv[1])).text)
        for _ in range(2):
            decoding.clear()
            transcribing = threading.Thread(target=read)
            transcribing.start()
            assert decoding.wait(30)
            for _ in range(4):
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
            transcribing.join()
        assert ["fellow" in text for text in texts] == [True] * 2, texts
        """,
        str(JFK),
    )
