"""Tokens of a text that is still arriving."""

import json
import re
from collections.abc import Collection

SPACE = re.compile(r"[ \t\r\n]*")

_WORD = re.compile(r"[\w.:/-]{0,256}")
# Bounded, because a string that is not whole is read again with each piece of text.
_LETTER = r'(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])'
_STRING = re.compile(rf'"{_LETTER}{{0,1024}}"')
_OPEN_STRING = re.compile(rf'"{_LETTER}{{0,1024}}\\?')

_BRACKET = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')
_ESCAPED = re.compile(r".", re.DOTALL)
_SCALAR_END = re.compile(r"[\s,}\]]")


class NoMatchError(Exception):
    """The text is not what was to be read, whatever follows."""


class UnexpectedEndError(Exception):
    """The text ends within what was to be read."""


class TextScanner:
    """Reads tokens of the text so far: each as a whole, or an error is raised.

    Attributes:
        text: What has arrived and was not dropped.
        at: Up to where it has been read.
    """

    __slots__ = ("at", "text")

    def __init__(self) -> None:
        self.text = ""
        self.at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all of the text has been read."""
        return self.at == len(self.text)

    def drop(self) -> str:
        """Drop what has been read, and return it."""
        read, self.text, self.at = self.text[: self.at], self.text[self.at :], 0
        return read

    def peek(self) -> str:
        """Return the next character."""
        if self.is_at_end:
            raise UnexpectedEndError
        return self.text[self.at]

    def one_of(self, characters: str) -> str:
        """Read one of some characters."""
        if self.peek() not in characters:
            raise NoMatchError
        self.at += 1
        return self.text[self.at - 1]

    def skip(self, pattern: re.Pattern[str] = SPACE) -> None:
        """Read what matches, if anything does."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def literal(self, *choices: str) -> str:
        """Read one of some texts, of which none begins another."""
        for choice in choices:
            if self.text.startswith(choice, self.at):
                self.at += len(choice)
                return choice
        if any(choice.startswith(self.text[self.at :]) for choice in choices):
            raise UnexpectedEndError
        raise NoMatchError

    def word(self) -> str:
        """Read a name or an id without quotes; there must be text after it."""
        found = _WORD.match(self.text, self.at)
        if found and found.end() == len(self.text):
            raise UnexpectedEndError
        if not found or not found[0]:
            raise NoMatchError
        self.at = found.end()
        return found[0]

    def string(self, allowed: Collection[str] | None = None) -> str:
        """Read a JSON string, one of those allowed, and return its value."""
        self.peek()
        whole = _STRING.match(self.text, self.at)
        if whole is None:
            begun = _OPEN_STRING.fullmatch(self.text, self.at)
            # Escapes are decoded only when the string is whole.
            beginning = begun[0][1:].split("\\")[0] if begun else ""
            if begun and (allowed is None or any(one.startswith(beginning) for one in allowed)):
                raise UnexpectedEndError
            raise NoMatchError
        try:
            value: str = json.loads(whole[0])
        except ValueError as error:  # an escape that JSON does not have
            raise NoMatchError from error
        if allowed is not None and value not in allowed:
            raise NoMatchError
        self.at = whole.end()
        return value


class JsonValueScanner:
    """Finds the end of a JSON value by its brackets and quotes, however its text is split.

    It does not judge the JSON: a value that is none ends where its brackets are even.
    """

    __slots__ = ("_depth", "_next", "found")

    def __init__(self) -> None:
        self.found = False
        self._depth = 0
        self._next: re.Pattern[str] | None = None

    def find_end(self, text: str, at: int) -> int:
        """Return the index up to which `text`, from `at` on, belongs to the value."""
        if self._next is None:
            self._next = _BRACKET if text[at] in '"{[' else _SCALAR_END
        while not self.found:
            sign = self._next.search(text, at)
            if sign is None:
                return len(text)
            if self._next is _SCALAR_END:
                self.found = True
                return sign.start()
            at = sign.end()
            if self._next is _ESCAPED:
                self._next = _IN_STRING
            elif sign[0] == "\\":
                self._next = _ESCAPED
            elif sign[0] == '"':
                self._next = _IN_STRING if self._next is _BRACKET else _BRACKET
            else:
                self._depth += 1 if sign[0] in "{[" else -1
            self.found = self._next is _BRACKET and not self._depth
        return at
