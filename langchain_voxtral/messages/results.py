"""Which calls of tools a conversation has made, and which of them it has answered."""

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import Turn


class ToolCallTracker:
    """Checks that every result answers a call, and that no call is left out among others.

    Ids may be used again by a later turn, as some models do (`call_0` in each turn). Calls of
    which none is answered are let pass: the user went on without them.
    """

    def __init__(self) -> None:
        self._made: set[str] = set()
        self._answered: set[str] = set()
        self._open: dict[str, str] = {}  # names of unanswered calls of the latest calling turn
        self._caller = 0
        self._settling = False

    def enter(self, index: int, turn: Turn) -> None:
        """Note one more turn.

        Args:
            index: The number of its message, for errors.
            turn: What the message says.

        Raises:
            VoxtralInvalidRequestError: A result answers no call, or one that was answered; or
                calls before it were answered in part; or two of its calls have one id.
        """
        if turn.role == "tool":
            self._answer(index, turn.tool_call_id)
            return
        self.settle()
        if turn.tool_calls:
            self._refuse_doubles(index, turn)
            self._open = {call.id: call.name for call in turn.tool_calls}
            self._caller = index
            self._made |= self._open.keys()
            self._answered -= self._open.keys()

    def settle(self) -> None:
        """Check that the latest calls are answered all, or not at all.

        Raises:
            VoxtralInvalidRequestError: Some are, and some are not.
        """
        if self._settling and self._open:
            call_id, name = next(iter(self._open.items()))
            raise VoxtralInvalidRequestError(
                f"messages[{self._caller}] calls several tools, and only some of the calls are "
                f"answered: add a ToolMessage with tool_call_id={call_id!r} for {name!r}."
            )
        self._settling = False

    def _refuse_doubles(self, index: int, turn: Turn) -> None:
        ids = [call.id for call in turn.tool_calls]
        for number, call_id in enumerate(ids):
            if call_id in ids[:number]:
                raise VoxtralInvalidRequestError(
                    f"messages[{index}] makes two calls with the id {call_id!r}: give each call "
                    "an id of its own."
                )

    def _answer(self, index: int, call_id: str | None) -> None:
        where = f"messages[{index}] (tool)"
        if call_id is None or call_id not in self._made:
            raise VoxtralInvalidRequestError(
                f"{where} answers the call {call_id!r}, which no earlier message makes: put the "
                "AIMessage with that tool call before it, or leave the result out."
            )
        if call_id in self._answered:
            raise VoxtralInvalidRequestError(
                f"{where} answers the call {call_id!r}, which has a result already: keep one."
            )
        self._answered.add(call_id)
        self._settling |= self._open.pop(call_id, None) is not None
