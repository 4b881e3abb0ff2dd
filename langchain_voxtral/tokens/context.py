"""The tokens of a conversation or a prompt, and whether the model's context holds them."""

from collections.abc import Sequence
from dataclasses import replace

from langchain_voxtral.errors import VoxtralContextOverflowError
from langchain_voxtral.messages import Turn, join_turns, merge_turns
from langchain_voxtral.messages.mistral_order import arrange_for_mistral
from langchain_voxtral.messages.openai import merge_system_into_user
from langchain_voxtral.messages.result_audio import move_recordings_behind_results
from langchain_voxtral.prompts import split_special_tokens
from langchain_voxtral.tokens import vocabulary
from langchain_voxtral.tokens.template import Tools, token_parts


def count_messages(turns: Sequence[Turn], tools: Tools = ()) -> int:
    """Return how many tokens messages take, by the model's own template.

    Args:
        turns: The turn of each message.
        tools: Tools on offer.
    """
    return sum(map(_tokens, token_parts(_as_sent(turns), tools))) if turns or tools else 0


def check_conversation(turns: Sequence[Turn], tools: Tools, *, limit: int, model: str) -> None:
    """Check that a conversation fits a model's context, if its tokens can be counted.

    What the order of a template adds to the turns is not counted, so that none is refused that
    fits.

    Raises:
        VoxtralContextOverflowError: It does not, by the model's own template.
    """
    said = [turn for turn in turns if turn.content or turn.tool_calls or turn.role == "user"]
    merged = merge_turns(
        replace(turn, role="user") if at and turn.role == "system" else turn
        for at, turn in enumerate(said)
    )
    _check(list(token_parts(merged, tools)), limit, model)


def check_prompt(prompt: str, *, limit: int, model: str) -> None:
    """Do what `check_conversation` does for an input string.

    A special token in it is one token, whether the server reads it so or not.
    """
    _check(split_special_tokens(prompt), limit, model)


def _check(parts: Sequence[int | str], limit: int, model: str) -> None:
    if sum(map(_max_tokens, parts)) <= limit or not vocabulary.is_installed():
        return
    if any(vocabulary.cannot_encode(part) for part in parts if isinstance(part, str)):
        return  # the server decides
    tokens = sum(map(_tokens, parts))
    if tokens > limit:
        raise VoxtralContextOverflowError(
            f"The prompt has {tokens} tokens, and the context of model={model!r} holds {limit}: "
            "send less, for example what trim_messages(messages, max_tokens=..., "
            "token_counter=chat) keeps. If the server's context is larger, pass "
            "check_context=False, or its profile= to a chat model."
        )


def _tokens(part: int | str) -> int:
    return vocabulary.count(part) if isinstance(part, str) else 1


def _max_tokens(part: int | str) -> int:
    """Return how many tokens a part has at most: one for each byte."""
    return len(part.encode("utf-8", "surrogatepass")) if isinstance(part, str) else 1


def _as_sent(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns of messages in the model's own order.

    `trim_messages` asks for any part of a conversation, from its end on in the reverse order. What
    would be added to make a part complete is not in it, so it is left as it is.
    """
    for ordered in (turns, turns[::-1]):
        if _is_complete(ordered):
            joined = join_turns(ordered, [None] * len(turns))
            has_audio = any(turn.audio for turn in joined)
            return arrange_for_mistral(joined, keeps_system=not has_audio)
    return merge_turns(move_recordings_behind_results(turns))


def as_conversation(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns of messages as those of a conversation, for a server that counts.

    Results and calls that are not complete become text of the user, or nothing.
    """
    if _is_complete(turns):
        return join_turns(turns, [None] * len(turns))
    return merge_turns(
        replace(turn, role="user" if turn.role == "tool" else turn.role, tool_calls=())
        for turn in move_recordings_behind_results(turns)
    )


def without_audio(turns: Sequence[Turn]) -> list[Turn]:
    """Return a conversation without its recordings, and system text where it would stand."""
    if not any(turn.audio for turn in turns):
        return [*turns]
    return [
        turn.with_content(part for part in turn.content if isinstance(part, str))
        for turn in merge_system_into_user(turns)
    ]


def _is_complete(turns: Sequence[Turn]) -> bool:
    """Return whether the results of all calls, and no others, stand behind them."""
    waiting: set[str | None] = set()
    for turn in turns:
        if turn.role == "tool":
            if turn.tool_call_id not in waiting:
                return False
            waiting.remove(turn.tool_call_id)
        elif waiting:
            return False
        waiting |= {call.id for call in turn.tool_calls}
        if turn.tool_calls and len(waiting) < len(turn.tool_calls):
            return False  # they share an id
    return bool(turns) and not waiting
