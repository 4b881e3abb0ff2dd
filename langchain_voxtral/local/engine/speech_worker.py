"""The speech engine's thread, and the transcripts of the latest recordings."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from langchain_voxtral.audio import Recording
from langchain_voxtral.local.engine.scheduler import Scheduler, WorkItem
from langchain_voxtral.local.engine.speech import SpeechEngine, SpeechResult
from langchain_voxtral.local.engine.whisper import SpeechSettings

_KEPT = 64


class SpeechWorker:
    """The speech engine and its queue.

    The last 64 transcripts are kept in memory, by the hash of the recording and the settings: a
    chat sends the same recordings with every turn. They are what the engine would write again, so
    those at a temperature, which it would not, are not kept.

    Args:
        engine: What transcribes.
        queue_size: Recordings that may wait beside the one that is transcribed.
    """

    def __init__(self, engine: SpeechEngine, queue_size: int) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[bytes, SpeechSettings], SpeechResult] = OrderedDict()
        self._scheduler = Scheduler(queue_size, "voxtral-speech")
        self.close = self._scheduler.close

    async def transcribe(self, file: BinaryIO, settings: SpeechSettings) -> SpeechResult:
        """Transcribe a recording and close its file; a cancelled call ends at its next segment.

        Args:
            file: The recording, seekable.
            settings: What to do.
        """

        def work(item: WorkItem[SpeechResult]) -> None:
            with file:
                item.put(self._transcribe(file, settings, item.check))

        item = WorkItem(self._scheduler, work)
        try:
            async with item:
                return await item.next()
        finally:
            if not item.has_started:
                file.close()

    def _transcribe(
        self, file: BinaryIO, settings: SpeechSettings, check: Callable[[], None]
    ) -> SpeechResult:
        started = time.perf_counter()
        key = (_hash(file), settings)
        result = self._kept.pop(key, None)
        if result is None:
            recording = Recording(file, name="The recording cannot be read")
            result = self._engine.transcribe(recording, settings, check)
        if not settings.temperature:
            self._kept[key] = result
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return replace(result, runtime_ms=round((time.perf_counter() - started) * 1000))


def _hash(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    return digest.digest()
