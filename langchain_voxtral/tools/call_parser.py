"""Tool calls out of the text of an answer, while it streams."""

import re
from collections.abc import Collection, Generator

from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.scan import (
    IN_LINE,
    NoMatchError,
    ParseSteps,
    TextScanner,
    UnexpectedEndError,
)

__all__ = ["ToolCallParser"]

_MEMBERS = {
    "name": "name",
    "arguments": "arguments",
    "parameters": "arguments",
    "id": "id",
    "type": "type",
}
"""The members that the JSON of a call may have, and what they are."""

_TEXT_END = re.compile(r"\n[ \t]*(?:\Z|(?=[{\[<]))|(?=\[(?:T|\Z))")
"""Where text may end: before a line that is, or may yet be, a call; and before a marker."""
_LINE_START = re.compile(r"\n[ \t]*\Z")
_SEPARATORS = " \t\r\n,;"


class ToolCallParser:
    r"""Separates the text of a streamed answer from the tool calls in it, however it is split.

    A call is one of
    - `[TOOL_CALLS]` and a JSON array of `{"name": ..., "arguments": {...}, "id": ...}`
      (Mistral's templates up to version 7), or, for each call, `[TOOL_CALLS]NAME[ARGS]{...}`
      or `[TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{...}` (versions 13 and 11);
    - `{"name": ..., "parameters": {...}}`, `<|python_tag|>` before it or not (Llama 3.1), or
      an array of these, at the start of the answer, of a line, or after another call.

    Members may come in any order, `"type": "function"` and an id among them, and `arguments`
    and `parameters` mean the same. After `[TOOL_CALLS]` any name is a call's; else it must be
    one of `names`, and its arguments a JSON object. All else is text, and comes out unchanged.

    What separates text from a call is no text: one line break before it with the indentation
    that follows, white space at the start of the answer, and white space and a comma or
    semicolon after it, unless there is more text. Only what may yet be a call is held back.

    A call's first part comes when its name and the beginning of its arguments are there. It
    has the name, and the id if that is there too; an id that comes later is dropped, because
    whoever reads the parts needs one at the first. The arguments follow exactly as they are
    written, valid or not.

    Args:
        names: The tools that can be called.
        forced: The server was told to write nothing but calls. Any name is then a call's, and
            JSON that turns out to be none is a call without a name that has all of it as its
            arguments; so is what is cut after `[TOOL_CALLS]`. A call that is cut before its
            arguments keeps its name.

    Example:
        ```python
        from langchain_voxtral.tools.call_parser import ToolCallParser
        from langchain_voxtral.tools.call_accumulator import ToolCallChunk

        parser = ToolCallParser(["add"])
        assert parser.feed('Let me see.\n{"name": "a') == ["Let me see."]
        assert parser.feed('dd", "parameters": {"a"') == [
            ToolCallChunk(0, name="add"),
            ToolCallChunk(0, arguments='{"a"'),
        ]
        assert parser.feed(": 1}}") == [ToolCallChunk(0, arguments=": 1}")]
        assert parser.close() == []
        ```
    """

    def __init__(self, names: Collection[str], *, forced: bool = False) -> None:
        self._names = frozenset(names)
        self._forced = forced
        self._source = TextScanner()
        self._ready: list[str | ToolCallChunk] = []
        self._said: list[str] = []  # text behind what is ready
        self._calls = 0
        self._in_text = False  # within a line, with nothing held
        self._in_json = False  # in what is or should be a call, its arguments not begun
        self._name = ""  # of that call, once it can only be a call
        self._marked = False  # there was a [TOOL_CALLS] before it
        self._steps = self._read()
        next(self._steps)

    @property
    def held(self) -> str:
        """What has arrived and is neither text nor part of a call yet."""
        return self._source.held

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        """Take text, return what it completes, in order."""
        if self._in_text and "\n" not in text and "[" not in text:
            return [text] if text else []
        self._source.add(text)
        next(self._steps)
        return self._taken()

    def close(self) -> list[str | ToolCallChunk]:
        """Return the rest: the text has ended."""
        self._source.ended = True
        for _ in self._steps:
            pass
        return self._taken()

    def _taken(self) -> list[str | ToolCallChunk]:
        self._put(None)
        ready, self._ready = self._ready, []
        return ready

    def _read(self) -> ParseSteps:
        source, forced = self._source, self._forced
        yield from source.skip()
        line_start = True
        while not (source.ended and source.is_empty):
            called = yield from self._try(forced=forced, line_start=line_start)
            if called:
                yield from self._gap()
                line_start = True
            else:
                forced = False
                line_start = yield from self._text()
        self._say(source.release())

    def _gap(self) -> ParseSteps:
        """Pass over what separates one call from the next, or from the end."""
        source = self._source
        yield from source.skip()
        if not source.is_empty and source.text[source.at] in ",;":
            source.take(source.at + 1)
            yield from source.skip()
        if source.ended and source.is_empty:
            source.drop()

    def _text(self) -> Generator[None, None, bool]:
        """Pass text on to where a call may begin; return whether a line begins there."""
        source = self._source
        held = source.release()
        if not source.is_empty and source.text[source.at] in "{[<":
            start = _LINE_START.search(held)
            if start is not None:
                # What is no call itself ended with the line before one.
                self._say(held[: start.start()])
                source.hold(start[0])
                return True
        self._say(held)
        while True:
            end = _TEXT_END.search(source.text, source.at)
            self._say(source.text[source.at : end.start() if end else None])
            source.at = end.start() if end else len(source.text)
            if end or source.ended:
                break
            self._in_text = True
            yield
            self._in_text = False
        if not end or not end[0]:
            return False
        source.take(end.end())
        return True

    def _try(self, *, forced: bool, line_start: bool) -> Generator[None, None, bool]:
        """Read calls; return whether there was one, with at most separators held after it."""
        source, before = self._source, self._calls
        self._in_json, self._name, self._marked = False, "", False
        try:
            yield from self._answer(forced=forced, line_start=line_start)
            source.drop()
        except NoMatchError as error:
            is_cut = isinstance(error, UnexpectedEndError)
            if self._in_json and (forced or (is_cut and (self._marked or self._name))):
                yield from self._broken(self._name if is_cut else "")
            elif self._calls > before and not self._in_json and is_cut:
                # Cut behind a call's arguments: what follows them is syntax, and no text.
                source.take(len(source.text))
                source.drop()
        return self._calls > before and not source.taken.strip(_SEPARATORS)

    def _answer(self, *, forced: bool, line_start: bool) -> ParseSteps:
        source = self._source
        yield from source.skip(IN_LINE)
        first = yield from source.one_of("{[<")
        self._in_json = first != "<"
        if first == "[" and (yield from source.peek()) == "T":
            yield from source.literal("TOOL_CALLS]")
            self._marked = True
            yield from source.skip()
            if (yield from source.peek()) not in "{[":
                yield from self._bare_call()
                return
            forced = True
            first = yield from source.one_of("{[")
        elif not line_start:
            raise NoMatchError
        elif first == "<":
            yield from source.literal("|python_tag|>")
            yield from source.skip()
            first = yield from source.one_of("{[")
            self._in_json = True
        yield from self._array(any_name=forced) if first == "[" else self._call(any_name=forced)

    def _bare_call(self) -> ParseSteps:
        """Read `NAME[ARGS]{...}` or `NAME[CALL_ID]ID[ARGS]{...}`."""
        source = self._source
        call_id = None
        name = yield from source.word()
        if (yield from source.literal("[ARGS]", "[CALL_ID]")) == "[CALL_ID]":
            call_id = yield from source.word()
            yield from source.literal("[ARGS]")
        self._in_json, self._name = True, name
        yield from source.skip()
        if (yield from source.peek()) != "{":
            raise NoMatchError
        self._begin(name, call_id)
        yield from source.value(self._add)

    def _array(self, *, any_name: bool) -> ParseSteps:
        """Read the calls of an array that has begun."""
        source, separator = self._source, ","
        while separator == ",":
            yield from source.skip()
            yield from source.one_of("{")
            yield from self._call(any_name=any_name)
            yield from source.skip()
            separator = yield from source.one_of(",]")

    def _call(self, *, any_name: bool) -> ParseSteps:
        """Read a call that has begun as a JSON object."""
        source = self._source
        self._in_json, self._name = True, ""
        members: dict[str, str] = {}
        early: list[str] = []
        following = ","
        while following == ",":
            member = yield from self._member(members)
            if member == "arguments":
                # A call is begun with its arguments: cut before them it is broken, not without.
                if (yield from source.peek()) != "{" and not any_name:
                    raise NoMatchError
                if "name" in members:
                    self._begin(members["name"], members.get("id"))
                members["arguments"] = ""
                yield from source.value(self._add if "name" in members else early.append)
            elif member == "name":
                members["name"] = yield from source.string(None if any_name else self._names)
                self._name = members["name"]
                if "arguments" in members:
                    self._begin(members["name"], members.get("id"))
                    self._add("".join(early))
            else:
                members[member] = yield from source.string(None if member == "id" else {"function"})
            yield from source.skip()
            following = yield from source.one_of(",}")
        if "arguments" not in members and any_name and "name" in members:
            self._begin(members["name"], members.get("id"))
        if self._in_json:
            raise NoMatchError
        source.drop()

    def _member(self, known: Collection[str]) -> Generator[None, None, str]:
        """Read the key of a member up to its value; return which it is."""
        source = self._source
        yield from source.skip()
        member = _MEMBERS[(yield from source.string(_MEMBERS))]
        if member in known:
            raise NoMatchError
        yield from source.skip()
        yield from source.one_of(":")
        yield from source.skip()
        return member

    def _broken(self, name: str) -> ParseSteps:
        """Pass on what is no call, and all after it, as the arguments of one."""
        source = self._source
        written = source.release().lstrip(_SEPARATORS)
        self._begin(name, None)
        self._add(written)
        while True:
            self._add(source.text[source.at :])
            source.at = len(source.text)
            if source.ended:
                return
            yield

    def _begin(self, name: str, call_id: str | None) -> None:
        self._source.drop()
        self._put(ToolCallChunk(self._calls, id=call_id or None, name=name))
        self._calls += 1
        self._in_json = False

    def _add(self, arguments: str) -> None:
        self._source.drop()
        if arguments:
            self._put(ToolCallChunk(self._calls - 1, arguments=arguments))

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)

    def _put(self, part: ToolCallChunk | None) -> None:
        if self._said:
            self._ready.append("".join(self._said))
            self._said.clear()
        if part is not None:
            self._ready.append(part)
