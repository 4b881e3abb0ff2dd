"""A text that is still arriving, read by generators that pause where more of it is needed."""

import json
import re
from collections.abc import Callable, Collection, Generator

__all__ = ["IN_LINE", "SPACE", "JsonValueScanner", "NoMatchError", "ParseSteps", "TextScanner"]

ParseSteps = Generator[None]
"""A piece of reading: it yields where it needs more text."""

SPACE = re.compile(r"[ \t\n\r]*")
"""The white space of JSON."""
IN_LINE = re.compile(r"[ \t]*")
"""White space within a line."""

_WORD = re.compile(r"[\w.:/-]{0,256}")
# Bounded, because a string that is not whole is read again at each piece.
_LETTER = r'(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])'
_LONGEST_STRING = 1024
_STRING = re.compile(rf'"{_LETTER}{{0,{_LONGEST_STRING}}}"')
_OPEN_STRING = re.compile(rf'"{_LETTER}{{0,{_LONGEST_STRING}}}\\?')


class NoMatchError(Exception):
    """The text is not, or ended before, what was to be read."""


class UnexpectedEndError(NoMatchError):
    """The text ended before what was to be read; what there was of it fitted."""


class TextScanner:
    """The text so far: what is taken is held until it is known to be syntax, or text.

    Every reading method takes what it read; what it did not expect it leaves, and raises
    `NoMatchError`, as soon as no further text could make it right.

    Example:
        ```python
        from langchain_voxtral.tools.scan import TextScanner

        source = TextScanner()
        steps = source.literal("[ARGS]", "[CALL_ID]")
        for piece in ("[AR", "GS]{"):
            source.add(piece)
            next(steps, None)
        assert (source.release(), source.held) == ("[ARGS]", "{")
        ```
    """

    __slots__ = ("_taken", "at", "ended", "text")

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self._taken: list[str] = []

    @property
    def held(self) -> str:
        """All that has arrived and has not been released or dropped."""
        return "".join(self._taken) + self.text[self.at :]

    @property
    def taken(self) -> str:
        """What was taken and has not been released or dropped."""
        return "".join(self._taken)

    @property
    def is_empty(self) -> bool:
        """Whether all text so far was taken."""
        return self.at == len(self.text)

    def add(self, text: str) -> None:
        """Append text."""
        self.text = self.text[self.at :] + text
        self.at = 0

    def take(self, end: int) -> str:
        """Take the text up to `end`, an index into `text`, and return it."""
        piece = self.text[self.at : end]
        self.at = end
        self._taken.append(piece)
        return piece

    def hold(self, text: str) -> None:
        """Hold a text that was released after all."""
        self._taken.append(text)

    def release(self) -> str:
        """Return what was taken, and hold it no longer."""
        taken = self.taken
        self.drop()
        return taken

    def drop(self) -> None:
        """Hold no longer what was taken: it was syntax."""
        self._taken.clear()

    def more(self) -> ParseSteps:
        """Wait for more text.

        Raises:
            EndedError: There is no more.
        """
        if self.ended:
            raise UnexpectedEndError
        yield

    def peek(self) -> Generator[None, None, str]:
        """Return the next character without taking it."""
        while self.is_empty:
            yield from self.more()
        return self.text[self.at]

    def one_of(self, characters: str) -> Generator[None, None, str]:
        """Take one of some characters."""
        if (yield from self.peek()) not in characters:
            raise NoMatchError
        return self.take(self.at + 1)

    def skip(self, characters: re.Pattern[str] = SPACE) -> ParseSteps:
        """Take characters as long as they match, if there are any."""
        while True:
            found = characters.match(self.text, self.at)
            if found is not None and found.end() > self.at:
                self.take(found.end())
            if self.ended or not self.is_empty:
                return
            yield

    def literal(self, *choices: str) -> Generator[None, None, str]:
        """Take one of some texts, of which none begins another."""
        longest = max(map(len, choices))
        while True:
            text = self.text[self.at : self.at + longest]
            for choice in choices:
                if text.startswith(choice):
                    return self.take(self.at + len(choice))
            if not any(choice.startswith(text) for choice in choices):
                raise NoMatchError
            yield from self.more()

    def word(self) -> Generator[None, None, str]:
        """Take a name or an id without quotes; there must be text after it."""
        while (found := _WORD.match(self.text, self.at)) and found.end() == len(self.text):
            yield from self.more()
        if not found or not found[0]:
            raise NoMatchError
        return self.take(found.end())

    def string(self, allowed: Collection[str] | None = None) -> Generator[None, None, str]:
        """Take a JSON string and return its value.

        Args:
            allowed: The values it may have, if not any.
        """
        yield from self.peek()
        while (whole := _STRING.match(self.text, self.at)) is None:
            begun = _OPEN_STRING.fullmatch(self.text, self.at)
            # Escapes are told only when the string is whole.
            if begun is None or not _may_become(begun[0][1:].split("\\")[0], allowed):
                raise NoMatchError
            yield from self.more()
        try:
            value: str = json.loads(whole[0])
        except ValueError as error:  # an escape that JSON does not have
            raise NoMatchError from error
        if allowed is not None and value not in allowed:
            raise NoMatchError
        self.take(whole.end())
        return value

    def value(self, sink: Callable[[str], None]) -> ParseSteps:
        """Take a JSON value and hand it over piece by piece, exactly as it is written.

        Args:
            sink: Called with each piece, which has been taken.
        """
        yield from self.peek()
        json_end = JsonValueScanner()
        while True:
            end = json_end.find(self.text, self.at)
            if end > self.at:
                sink(self.take(end))
            if json_end.found:
                return
            yield from self.more()


def _may_become(beginning: str, allowed: Collection[str] | None) -> bool:
    return allowed is None or any(value.startswith(beginning) for value in allowed)


class JsonValueScanner:
    r"""Finds the end of a JSON value by its brackets and quotes, however its text is split.

    It does not judge the JSON: a value that is none ends where its brackets are even.

    Example:
        ```python
        from langchain_voxtral.tools.scan import JsonValueScanner

        end = JsonValueScanner()
        assert [end.find(piece, 0) for piece in ('{"a": "}', '\\"', '"}, {"b"')] == [8, 2, 2]
        assert end.found
        ```
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "_started", "found")

    _BRACKET = re.compile(r'["{}\[\]]')
    _IN_STRING = re.compile(r'["\\]')
    _SCALAR = re.compile(r"[^\s,}\]]*")

    def __init__(self) -> None:
        self.found = False
        self._started = False
        self._in_string = False
        self._escaped = False
        self._depth = 0

    def find(self, text: str, at: int) -> int:
        """Return the index up to which `text`, from `at` on, belongs to the value."""
        if not self._depth and not self._in_string and (self._started or text[at] not in '"{['):
            return self._scalar(text, at)
        while not self.found:
            if self._escaped and at < len(text):
                self._escaped = False
                at += 1
            sign = (self._IN_STRING if self._in_string else self._BRACKET).search(text, at)
            if sign is None:
                return len(text)
            self._pass(sign[0])
            at = sign.end()
        return at

    def _scalar(self, text: str, at: int) -> int:
        self._started = True
        scalar = self._SCALAR.match(text, at)
        end = at if scalar is None else scalar.end()
        self.found = end < len(text)
        return end

    def _pass(self, sign: str) -> None:
        if sign == "\\":
            self._escaped = True
        elif sign == '"':
            self._in_string = not self._in_string
            self.found = not self._in_string and not self._depth
        else:
            self._depth += 1 if sign in "{[" else -1
            self.found = not self._depth
