"""Each way to have a recording transcribed, with the callbacks of a run."""

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableLambda

from langchain_voxtral import (
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
)

Way = Callable[[VoxtralTranscriptionParser, bytes, Any], Any]


def _in_a_chain(call: Callable[[VoxtralTranscriptionParser, bytes], Any]) -> Way:
    """Return a way that calls a parser within a chain, whose context has the callbacks."""

    def way(parser: VoxtralTranscriptionParser, audio: bytes, config: RunnableConfig) -> None:
        RunnableLambda(lambda _: call(parser, audio)).invoke("x", config)

    return way


def _in_an_async_chain(call: Callable[[VoxtralTranscriptionParser, bytes], Any]) -> Way:
    async def chain_of(parser: VoxtralTranscriptionParser, audio: bytes) -> None:
        outputs = call(parser, audio)
        if hasattr(outputs, "__aiter__"):
            async for _ in outputs:
                pass
        else:
            await outputs

    def way(parser: VoxtralTranscriptionParser, audio: bytes, config: RunnableConfig) -> None:
        async def run(_: object) -> None:
            await chain_of(parser, audio)

        asyncio.run(RunnableLambda(run).ainvoke("x", config))

    return way


def _streamed(parser: VoxtralTranscriptionParser, audio: bytes, config: RunnableConfig) -> None:
    for _ in VoxtralTranscriber(parser).stream(audio, config):
        pass


def _astreamed(parser: VoxtralTranscriptionParser, audio: bytes, config: RunnableConfig) -> None:
    async def run() -> None:
        async for _ in VoxtralTranscriber(parser).astream(audio, config):
            pass

    asyncio.run(run())


WAYS: dict[str, Way] = {
    "parse": _in_a_chain(lambda parser, audio: parser.parse(audio)),
    "lazy_parse": _in_a_chain(lambda parser, audio: [*parser.lazy_parse(audio)]),
    "load": _in_a_chain(lambda parser, audio: _loader(parser, audio).load()),
    "lazy_load": _in_a_chain(lambda parser, audio: [*_loader(parser, audio).lazy_load()]),
    "invoke": lambda parser, audio, config: VoxtralTranscriber(parser).invoke(audio, config),
    "stream": _streamed,
    "batch": lambda parser, audio, config: VoxtralTranscriber(parser).batch([audio], config),
    "aparse": _in_an_async_chain(lambda parser, audio: parser.aparse(audio)),
    "alazy_parse": _in_an_async_chain(lambda parser, audio: parser.alazy_parse(audio)),
    "aload": _in_an_async_chain(lambda parser, audio: _loader(parser, audio).aload()),
    "alazy_load": _in_an_async_chain(lambda parser, audio: _loader(parser, audio).alazy_load()),
    "ainvoke": lambda parser, audio, config: asyncio.run(
        VoxtralTranscriber(parser).ainvoke(audio, config)
    ),
    "astream": _astreamed,
}
SOME_WAYS = ["parse", "invoke", "stream", "aparse", "ainvoke", "astream"]


def _loader(parser: VoxtralTranscriptionParser, audio: bytes) -> VoxtralTranscriptionLoader:
    return VoxtralTranscriptionLoader(audio, parser=parser)
