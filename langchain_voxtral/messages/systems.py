"""System turns beside recordings, which the model cannot have: their text begins the user's."""

from collections.abc import Sequence

from langchain_voxtral.messages.turns import Turn


def merge_system_into_user(turns: Sequence[Turn]) -> list[Turn]:
    r"""Return a conversation without system turns: their texts begin users' turns.

    Voxtral's tokenizer refuses system turns beside audio (mistral-common, before tokenizer
    version 13). A system turn begins the first user turn that follows; if none does, it becomes
    a user turn itself.

    Example:
        ```python
        from langchain_voxtral.messages import Turn
        from langchain_voxtral.messages.systems import merge_system_into_user

        turns = [Turn("system", "Be brief."), Turn("user", "What is said?")]
        assert merge_system_into_user(turns) == [Turn("user", "Be brief.\n\nWhat is said?")]
        ```
    """
    merged: list[Turn] = []
    told = Turn("user")
    for turn in turns:
        if turn.role == "system":
            told = Turn("user").with_content(turn.content).merged_after(told)
        elif turn.role == "user":
            # Without the system turn that stood between them, two user turns may meet.
            _add(merged, turn.merged_after(told))
            told = Turn("user")
        else:
            merged.append(turn)
    if told.content:
        _add(merged, told)
    return merged


def _add(turns: list[Turn], turn: Turn) -> None:
    if turns and turns[-1].role == "user":
        turn = turn.merged_after(turns.pop())
    turns.append(turn)
