"""Recordings that messages name by their hashes: read from the model's store for each request."""

import base64
import copy
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.stores import InMemoryByteStore
from langchain_core.tracers import LangChainTracer
from pydantic import SecretStr, ValidationError
from support.call_modes import CALL_MODES, ask
from support.disk_guard import guard_disk
from support.documented_exchanges import KEY, Server, streaming
from support.folder_store import FolderStore
from support.speech_samples import encoded, silence, speech, wav_bytes
from support.strict_servers import strict
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.errors import VoxtralInvalidRequestError

WAV = wav_bytes(speech()[:16_000])
FLAC = encoded("flac", speech()[:16_000])

Make = Callable[..., ChatVoxtral]


class CountingStore(InMemoryByteStore):
    """Counts how often each key is read; only asynchronously, or only synchronously."""

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self.reads: list[str] = []
        self._is_async = mode.startswith("a")

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        assert not self._is_async
        self.reads += keys
        return super().mget(keys)

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        assert self._is_async
        self.reads += keys
        return super().mget(keys)


def answer(server: Server, call_mode: str) -> None:
    """Let a server answer, as a stream if it is asked so."""
    chunk = b'{"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}'
    server.answer = (
        (lambda _: streaming(b"data: " + chunk + b"\n\ndata: [DONE]\n\n"))
        if "stream" in call_mode
        else strict("deepinfra")
    )


def sent_audio(server: Server) -> list[bytes]:
    """Return the recordings of the last request."""
    parts = [part for message in server.bodies[-1]["messages"] for part in message["content"]]
    return [
        base64.b64decode(part["input_audio"]["data"])
        for part in parts
        if isinstance(part, dict) and part["type"] == "input_audio"
    ]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_named_recording_makes_the_request_of_the_recording_itself(
    make_chat: Make, server: Server, call_mode: str
) -> None:
    answer(server, call_mode)
    store = CountingStore(call_mode)
    chat = make_chat(audio_store=store)
    for data in (WAV, FLAC):
        by_reference = chat.put_audio(data)
        for block in (by_reference, audio_block(data)):
            await ask(chat, call_mode, [HumanMessage([block, "Well?", block])])
    first, second, third, fourth = server.bodies
    assert (first, third) == (second, fourth)
    assert len(store.reads) == 2


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_conversation_reads_and_converts_each_recording_once(
    make_chat: Make, server: Server, call_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by making reading, hashing and conversion impossible afterwards."""
    answer(server, call_mode)
    store = InMemoryByteStore()
    chat = make_chat(audio_store=store)
    asked = HumanMessage([chat.put_audio(WAV), chat.put_audio(FLAC), "Well?"])
    await ask(chat, call_mode, [asked])
    store.mdelete(list(store.yield_keys()))
    for library in ("av", "numpy"):
        monkeypatch.setitem(sys.modules, library, None)
    await ask(chat, call_mode, [asked, AIMessage("Speech."), HumanMessage("Is it?")])
    first, second = server.bodies
    assert second["messages"][0] == first["messages"][0]
    with pytest.raises(VoxtralInvalidRequestError, match="has no recording"):
        await ask(copy.deepcopy(chat), call_mode, [asked])


async def test_neither_putting_nor_reading_blocks_an_event_loop(
    make_chat: Make, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(server, "ainvoke")
    path = tmp_path / "talk.wav"
    path.write_bytes(WAV)
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path))
    (tmp_path / "own").mkdir()
    guard_disk(monkeypatch)
    for store in ("cache", FolderStore(tmp_path / "own")):
        chat = make_chat(audio_store=store)
        block = await chat.aput_audio(path, "Hello.")
        assert block["extras"] == {"name": "talk.wav", "seconds": 1.0, "transcript": "Hello."}
        await chat.ainvoke([HumanMessage([block])])
        assert sent_audio(server) == [WAV]


def put(data: bytes, **extras: object) -> tuple[InMemoryByteStore, dict[str, Any], str]:
    """Return a store with a recording, its block, and its key there."""
    store = InMemoryByteStore()
    block = audio_block(data, store=store)
    [key] = store.yield_keys()
    return store, block | {"extras": extras}, key


PUT_AGAIN = (
    "Put it in again (audio_block(path, store=...) with the same store), or take its block out of "
    "the messages."
)


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (None, "the store (InMemoryByteStore) has no recording {id}. "),
        (
            WAV[:-1] + b"?",
            "what the store (InMemoryByteStore) holds as {id} is another file, or is damaged. ",
        ),
        (
            "text",
            "what the store (InMemoryByteStore) holds as {id} is another file, or is damaged. ",
        ),
    ],
)
async def test_what_the_store_lacks_is_an_error_with_its_position(
    make_chat: Make, server: Server, call_mode: str, entry: Any, problem: str
) -> None:
    store, block, key = put(WAV, name="talk.wav")
    store.mdelete([key])
    if entry is not None:
        store.mset([(key, entry)])
    chat = make_chat(audio_store=store)
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        await ask(chat, call_mode, [HumanMessage("a"), AIMessage("b"), HumanMessage(["c", block])])
    where = "messages[2] (user), block 1 (talk.wav): "
    assert str(raised.value) == where + problem.format(id=block["file_id"]) + PUT_AGAIN
    assert server.requests == []


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_without_a_store_nothing_can_be_named(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    _, block, _ = put(WAV)
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        await ask(chat, call_mode, [HumanMessage([block])])
    assert str(raised.value) == (
        f"messages[0] (user), block 0: the recording is named by its id ({block['file_id']}), and "
        "there is no store to read it from: give the store that it was put into as audio_store=."
    )
    assert server.requests == []
    for put_audio in (chat.put_audio, chat.aput_audio):
        with pytest.raises(VoxtralInvalidRequestError) as raised:
            await _awaited(put_audio(WAV))
        assert str(raised.value) == (
            "The model has no store to put a recording into: give audio_store= to the model (any "
            "BaseStore[str, bytes], or 'cache')."
        )


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def test_a_recording_of_another_store_cannot_be_named_though_it_was_read(
    make_chat: Make, server: Server
) -> None:
    """Copies of a model share what they have converted."""
    answer(server, "invoke")
    store, block, _ = put(FLAC)
    message = HumanMessage([block])
    chat = make_chat(audio_store=store)
    chat.invoke([message])
    other = chat.model_copy(update={"audio_store": InMemoryByteStore()})
    with pytest.raises(VoxtralInvalidRequestError, match="has no recording"):
        other.invoke([message])
    with pytest.raises(VoxtralInvalidRequestError, match="has no recording"):
        other.get_num_tokens_from_messages([message])


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_native_endpoint_refuses_before_anything_is_read(
    make_chat: Make, call_mode: str
) -> None:
    store, block, _ = put(WAV)
    reading = CountingStore(call_mode)
    reading.mset([*store.store.items()])
    with pytest.raises(VoxtralInvalidRequestError, match="carries no audio"):
        await ask(make_chat(api="native", audio_store=reading), call_mode, [HumanMessage([block])])
    assert reading.reads == []


# Counts


@pytest.mark.parametrize(
    ("data", "tokens"), [(WAV, 376), (FLAC, 376), (wav_bytes(silence(30.1)), 751)]
)
def test_a_count_reads_a_recording_once_and_only_if_its_block_states_no_length(
    data: bytes, tokens: int
) -> None:
    """`trim_messages` and middleware count in the event loop."""
    store = CountingStore()
    block = audio_block(data, store=store)
    chat = ChatVoxtral(audio_store=store, custom_get_token_ids=lambda text: [*text.encode()])
    for extras, reads in (block["extras"], 0), ({}, 1), ({}, 1):
        asked = HumanMessage([block | {"extras": extras}])
        assert chat.get_num_tokens_from_messages([asked]) == 7 + tokens
        assert len(store.reads) == reads


def test_without_a_store_a_count_takes_the_length_that_the_block_states() -> None:
    chat = ChatVoxtral(custom_get_token_ids=lambda text: [*text.encode()])
    _, block, _ = put(WAV, seconds=60)
    assert chat.get_num_tokens_from_messages([HumanMessage([block])]) == 7 + 751
    for seconds in (None, 0, -1, float("inf"), 10**400, "60"):
        unknown = HumanMessage([block | {"extras": {"seconds": seconds}}])
        with pytest.raises(VoxtralInvalidRequestError, match="there is no store"):
            chat.get_num_tokens_from_messages([unknown])


# The store as a setting


def test_a_store_is_shown_and_written_nowhere() -> None:
    class Loud(InMemoryByteStore):
        def __repr__(self) -> str:
            return KEY

    plain, chat = ChatVoxtral(), ChatVoxtral(audio_store=Loud())
    assert dumpd(chat) == dumpd(plain)
    assert chat.model_dump() == plain.model_dump()
    assert repr(chat) == repr(plain)
    assert chat._identifying_params == plain._identifying_params


@pytest.mark.filterwarnings("ignore:.* is in beta")  # LangChain says so once a process
def test_the_cache_survives_a_dump() -> None:
    chat = ChatVoxtral(audio_store="cache", api_key=SecretStr(KEY))
    assert dumpd(chat)["kwargs"]["audio_store"] == "cache"
    loaded = load(
        dumpd(chat),
        allowed_objects=[ChatVoxtral],
        valid_namespaces=["langchain_voxtral"],
        secrets_map={"DEEPINFRA_API_TOKEN": KEY},
    )
    assert loaded == chat


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda chat: chat.model_copy(update={"seed": 1})]
)
def test_a_copy_shares_the_store(copied: Callable[[ChatVoxtral], ChatVoxtral]) -> None:
    chat = ChatVoxtral(audio_store=InMemoryByteStore())
    assert copied(chat).audio_store is chat.audio_store


def test_a_pickle_has_the_store_with_it() -> None:
    store, _, key = put(WAV)
    read = pickle.loads(pickle.dumps(ChatVoxtral(audio_store=store)))  # noqa: S301 - our own
    assert read.audio_store.mget([key]) == [WAV]
    assert pickle.loads(pickle.dumps(ChatVoxtral(audio_store="cache"))).audio_store == "cache"  # noqa: S301 - our own


def test_each_call_may_have_a_store_of_its_own(make_chat: Make, server: Server) -> None:
    answer(server, "invoke")
    field = ConfigurableField(id="recordings")
    chat = make_chat().configurable_fields(audio_store=field)
    for data in (WAV, FLAC):
        store, block, _ = put(data)
        chat.invoke([HumanMessage([block])], {"configurable": {"recordings": store}})
    assert [len(audio) > 0 for audio in sent_audio(server)] == [True]
    with pytest.raises(VoxtralInvalidRequestError, match="there is no store"):
        chat.invoke([HumanMessage([block])])


def test_a_trace_has_the_name_and_not_the_sound(make_chat: Make, server: Server) -> None:
    answer(server, "invoke")
    store, block, _ = put(WAV)
    recorder = TraceRecorder()
    chat = make_chat(audio_store=store)
    chat.invoke([HumanMessage([block])], {"callbacks": [LangChainTracer(client=recorder)]})
    assert block["file_id"] in recorder.everything
    assert len(recorder.everything) < len(WAV) / 2


@pytest.mark.parametrize("store", ["~/recordings", {}, 7])
def test_a_store_of_another_type_is_refused(store: object) -> None:
    with pytest.raises(ValidationError, match=r"BaseStore.* or 'cache', not ") as raised:
        ChatVoxtral.model_validate({"audio_store": store})
    assert len(raised.value.errors()) == 1
