"""Token counts of messages, by the model's own template."""

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately

from langchain_voxtral.audio.pricing import audio_tokens
from langchain_voxtral.completions.audio_settings import AudioSettings
from langchain_voxtral.completions.tools import ToolOptions
from langchain_voxtral.language_model import LanguageModel
from langchain_voxtral.messages import Turn, text_as_sent, to_turn
from langchain_voxtral.providers import LOCAL_BASE_URL, PROVIDERS
from langchain_voxtral.settings import merge_settings
from langchain_voxtral.tokens import vocabulary
from langchain_voxtral.tokens.context import as_conversation, count_messages, without_audio
from langchain_voxtral.tokens.engine import ask_engine
from langchain_voxtral.tools.json_text import dumps


class MessageTokenCounts(AudioSettings, LanguageModel):
    """What a chat model answers when it is asked for the tokens of messages."""

    def get_num_tokens_from_messages(
        self, messages: Iterable[MessageLikeRepresentation], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many tokens messages take, as `trim_messages(token_counter=chat)` asks.

        With the `tokens` extra they are counted by the model's own template and vocabulary, as
        `mistral-common` encodes them (`docs/token-counts.md` tells what a server may count
        differently). Without it they are estimated by `count_tokens_approximately`, four
        characters a token. With `custom_get_token_ids` texts are counted by that, each with its
        message's role before it, as LangChain does.

        A recording takes 375 for each 30 seconds that it begins, and one more; that is exact. One
        that is named by its hash is as long as its block says (`seconds`, as `audio_block` writes
        them); only if that says nothing, it is read from `audio_store`.

        Args:
            messages: The messages, or what LangChain makes messages of. They need not be a whole
                conversation; a list that could not be sent as it is counts message by message.
            tools: Tools that are offered.

        Raises:
            VoxtralInvalidRequestError: A message that cannot be sent, or a recording that is a
                URL, whose length is not known before it is fetched.

        Example:
            ```python
            from langchain_core.messages import HumanMessage
            from langchain_voxtral import ChatVoxtral, audio_block
            from langchain_voxtral.audio.wav import wav_header

            second = audio_block(wav_header(32_000) + bytes(32_000))
            chat = ChatVoxtral(api_key="any")  # nothing is sent
            assert chat.get_num_tokens_from_messages([HumanMessage("Hello!")]) == 5
            assert chat.get_num_tokens_from_messages([HumanMessage([second])]) == 379
            ```
        """
        # As a call takes a string; LangChain would make a message of each character.
        messages = convert_to_messages([messages] if isinstance(messages, str) else messages)
        single = [to_turn(index, message) for index, message in enumerate(messages)]
        turns = self._with_seconds(single, PROVIDERS[self.server])
        offered = ToolOptions.pop_from({"tools": tools})
        if self.custom_get_token_ids is None and self.base_url == LOCAL_BASE_URL:
            return _audio_tokens(turns) + self._ask_engine(turns, offered)
        if self.custom_get_token_ids is None and vocabulary.is_installed():
            return count_messages(offered.rename_calls(turns), offered.tools)
        texts = [
            message.model_copy(update={"content": text_as_sent(turn), "name": None})
            for message, turn in zip(messages, turns, strict=True)
        ]
        return _audio_tokens(turns) + self._count_texts(texts, [*offered.tools])

    def _count_texts(self, messages: list[BaseMessage], tools: list[Any]) -> int:
        """Return how many tokens messages of text have by the user's counter, or about."""
        if self.custom_get_token_ids is None:
            return count_tokens_approximately(messages, tools=tools)
        of_tools = self.get_num_tokens(dumps(tools, what="the tools")) if tools else 0
        return of_tools + super().get_num_tokens_from_messages(messages)

    def _ask_engine(self, turns: Sequence[Turn], tools: ToolOptions) -> int:
        """Return how many tokens the embedded engine's prompt has, recordings aside."""
        if not turns and not tools.tools:
            return 0
        said = without_audio(as_conversation(turns)) or [Turn("user")]
        request = self._request_builder().from_turns(said, merge_settings(self, None, {}), tools)
        return len(ask_engine(self._client, request.body, self.model))


def _audio_tokens(turns: Iterable[Turn]) -> int:
    return sum(audio_tokens(part.seconds or 0) for turn in turns for part in turn.audio)
