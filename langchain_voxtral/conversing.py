"""What a chat makes of messages: one request or several, to the endpoint that takes them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import BaseMessage

from langchain_voxtral.base import VoxtralBase
from langchain_voxtral.completions.audio_inputs import AudioCache, ahear, hear
from langchain_voxtral.completions.request import (
    Ask,
    Plan,
    SystemWithAudio,
    ToolOptions,
    chat_plan,
    native_plan,
)
from langchain_voxtral.completions.response import Completion, StreamItem
from langchain_voxtral.errors import (
    VoxtralContextOverflowError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.messages import to_turns
from langchain_voxtral.prompts import PromptFormat, get_format, reject_audio
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.rounds import Rounds, in_pieces
from langchain_voxtral.transport import FetchPolicy

__all__ = ["Conversing"]

_MAY_BE_OF_AUDIO = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses by which a server may say that it takes no recordings in chats, or none of the model's.
DeepInfra lists Voxtral as a model of speech recognition, and does not say that it chats."""
_ELSEWHERE = (
    "(If it is the recording that is not taken here: VoxtralTranscriber and "
    "VoxtralTranscriptionParser send it to endpoints for speech, endpoint='transcriptions' or "
    "'native'.)"
)


@contextmanager
def _advising(plan: Plan) -> Iterator[None]:
    """Say where else recordings may be taken, if a refusal may be of them."""
    try:
        yield
    except (VoxtralInvalidRequestError, VoxtralNotFoundError) as error:
        is_long = isinstance(error, VoxtralContextOverflowError)
        if plan.carries_audio and error.status_code in _MAY_BE_OF_AUDIO and not is_long:
            error.message += f" {_ELSEWHERE}"
        raise


class Conversing(VoxtralBase):
    """Messages in, answers out. Not for direct use."""

    prompt_format: Literal["llama3", "mistral"] | PromptFormat = "llama3"
    """How messages become the input string."""
    system_with_audio: SystemWithAudio = "merge"
    """What to do with system text beside recordings, which the model does not take together:
    have it begin the user's text that follows, or raise an error."""
    allow_audio_urls: bool = False
    """Whether recordings may be fetched from the web, by the URLs in messages."""

    if TYPE_CHECKING:  # the real one stands in the face, as `_lease` does
        _clips: AudioCache

    def _rounds(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Rounds:
        ask = self._ask(messages, stop, given)
        turns = hear(ask.turns, PROVIDERS[self.server], self._fetch_rules, self._clips)
        return Rounds(replace(ask, turns=turns), self._plan)

    async def _arounds(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Rounds:
        ask = self._ask(messages, stop, given)
        turns = await ahear(ask.turns, PROVIDERS[self.server], self._fetch_rules, self._clips)
        return Rounds(replace(ask, turns=turns), self._plan)

    @property
    def _fetch_rules(self) -> FetchPolicy | None:
        return FetchPolicy(PROVIDERS[self.server].most_bytes) if self.allow_audio_urls else None

    def _ask(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Ask:
        tools = ToolOptions.taken_from(given)
        options = self._call_options(stop, given)
        turns = to_turns(messages)
        if self.api == "native":
            reject_audio(turns)  # before anything is fetched or decoded
        return Ask(turns, options, tools)

    def _plan(self, ask: Ask, instruction: str | None = None) -> Plan:
        server = PROVIDERS[self.server]
        needs_chat = ask.has_audio or server.paths["native"] is None
        if self.api == "chat_completions" or (self.api == "auto" and needs_chat):
            return chat_plan(
                ask,
                self.special_tokens,
                server,
                system_with_audio=self.system_with_audio,
                instruction=instruction,
            )
        chosen = get_format(self.prompt_format)
        return native_plan(ask, chosen, self.special_tokens, instruction=instruction)

    def _all_rounds(self, rounds: Rounds) -> list[Completion]:
        while (plan := rounds.plan) is not None:
            try:
                with _advising(plan):
                    rounds.answered(self._answer(plan))
            except VoxtralUnsupportedFeatureError as refusal:
                rounds.refused(refusal)
        return rounds.answers

    async def _aall_rounds(self, rounds: Rounds) -> list[Completion]:
        while (plan := rounds.plan) is not None:
            try:
                with _advising(plan):
                    rounds.answered(await self._aanswer(plan))
            except VoxtralUnsupportedFeatureError as refusal:
                rounds.refused(refusal)
        return rounds.answers

    def _items(self, rounds: Rounds) -> Iterator[StreamItem]:
        try:
            with _advising(rounds.first):
                yield from self._pieces(rounds.first)
        except VoxtralUnsupportedFeatureError as refusal:
            rounds.refused(refusal)
            yield from in_pieces(self._all_rounds(rounds))

    async def _aitems(self, rounds: Rounds) -> AsyncIterator[StreamItem]:
        try:
            with _advising(rounds.first):
                async with aclosing(self._apieces(rounds.first)) as items:
                    async for item in items:
                        yield item
        except VoxtralUnsupportedFeatureError as refusal:
            rounds.refused(refusal)
            for item in in_pieces(await self._aall_rounds(rounds)):
                yield item
