"""Tool calls out of the text of an answer, while it streams."""

import re
from collections.abc import Callable, Collection

from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.text_scanner import (
    JsonValueScanner,
    NoMatchError,
    TextScanner,
    UnexpectedEndError,
)

_MEMBERS = {"name": "name", "id": "id", "type": "type"}
_MEMBERS |= {"arguments": "arguments", "parameters": "arguments"}
"""The members that the JSON of a call may have, and what they are."""

_INDENT = re.compile(r"(?:\r?\n)?[ \t]*")
_SEPARATORS = re.compile(r"[ \t\r\n,;]*")
_TEXT_END = re.compile(r"\r?\n[ \t]*(?:\Z|(?=[{\[<]))|\r\Z|(?=\[(?:T|\Z))")
"""Where text may end: before a line that is, or may yet be, a call; and before a marker."""
_LAST_LINE = re.compile(r"\r?\n[ \t]*\Z")


class ToolCallParser:
    r"""Separates the text of a streamed answer from the tool calls in it, however it is split.

    A call is one of
    - `[TOOL_CALLS]` and a JSON array of `{"name": ..., "arguments": {...}, "id": ...}`
      (Mistral's templates up to version 7), or, for each call, `[TOOL_CALLS]NAME[ARGS]{...}`
      or `[TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{...}` (versions 13 and 11);
    - `{"name": ..., "parameters": {...}}`, `<|python_tag|>` before it or not (Llama 3.1), or
      an array of these, at the start of the answer, of a line, or after another call.

    Members may come in any order, `"type": "function"` among them; `arguments` and `parameters`
    mean the same. After `[TOOL_CALLS]` any name is a call's; else it must be one of `names`, and
    its arguments a JSON object. All else is text, and comes out unchanged, except what separates
    it from a call: white space at the start of the answer, one line break and the indentation
    before a call, white space, commas and semicolons after one.

    Only what may yet be a call is held back. A call's first chunk, with its name and its id,
    comes as soon as its arguments begin; an id that stands behind them is dropped. The arguments
    follow as they are written, valid or not.

    Args:
        names: The tools that can be called; None for any.
        forced: The server was asked for nothing but calls. Any name with arguments is then a
            call's, and JSON that is no call is one without a name, all of it its arguments; so is
            what is cut after `[TOOL_CALLS]`. A call that is cut before its arguments keeps its
            name.
    """

    # What is held back is read in steps. A step that needs more text is taken again, from its
    # start, when more has come; one that succeeds drops what it has read.

    def __init__(self, names: Collection[str] | None, *, forced: bool = False) -> None:
        self._names = None if names is None else frozenset(names)
        self._forced = forced
        self._source = TextScanner()
        self._ended = False
        self._ready: list[str | ToolCallChunk] = []
        self._step: Callable[[], None] = self._read_first
        # What may be a call, from what introduces it:
        self._in_head = False  # before the arguments
        self._calls = self._calls_before = 0
        self._is_marked = False  # by [TOOL_CALLS]
        self._in_array = False
        self._is_broken = False
        self._any_name = False
        self._name = ""
        self._known: dict[str, str] = {}  # members
        self._arguments = JsonValueScanner()
        self._scanned = 0  # of arguments that come before the name
        self._after_arguments = self._read_rest

    @property
    def is_in_text(self) -> bool:
        """Whether text without a line break or bracket would come out unchanged."""
        return not self._source.text and self._step == self._read_text

    @property
    def is_complete(self) -> bool:
        """Whether the JSON of every call so far is whole."""
        return not self._is_broken and self._step in (self._read_after_call, self._read_text)

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        """Take text, return what it completes, in order."""
        self._source.text += text
        return self._read()

    def close(self) -> list[str | ToolCallChunk]:
        """Return the rest: the text has ended."""
        self._ended = True
        return self._read()

    def _read(self) -> list[str | ToolCallChunk]:
        while self._source.text:
            self._source.at = 0
            try:
                self._step()
            except UnexpectedEndError:
                if not self._ended:
                    break
                self._read_no_call(is_cut=True)
            except NoMatchError:
                self._read_no_call(is_cut=False)
        ready, self._ready = self._ready, []
        return ready

    # Steps

    def _read_text(self) -> None:
        """Pass text on to where a call may begin."""
        source = self._source
        end = _TEXT_END.search(source.text)
        source.at = end.start() if end else len(source.text)
        self._put(source.drop())
        if end:
            self._step = self._read_line if end[0] else self._read_marker

    def _read_first(self) -> None:
        self._source.skip()
        self._read_head()

    def _read_line(self) -> None:
        self._source.skip(_INDENT)
        self._read_head()

    def _read_marker(self) -> None:
        self._read_head(at_line_start=False)

    def _read_after_call(self) -> None:
        self._source.skip(_SEPARATORS)
        if self._ended and self._source.is_at_end:
            self._source.drop()
        else:
            self._read_head()

    def _read_head(self, *, at_line_start: bool = True) -> None:
        """Read the beginning of a call, up to its arguments."""
        source = self._source
        self._in_head, self._is_marked, self._name = False, False, ""
        self._calls_before = self._calls
        if source.peek() == "\r":  # half a line break, perhaps
            if source.at + 1 == len(source.text) and not self._ended:
                raise UnexpectedEndError
            source.at = source.at or 1
            raise NoMatchError
        first = source.one_of("{[<")
        self._in_head = first != "<"
        self._any_name = self._forced
        if first == "[" and source.peek() == "T":
            source.literal("TOOL_CALLS]")
            self._is_marked = self._any_name = True
            source.skip()
            if source.peek() not in "{[":
                self._read_bare_call()
                return
            first = source.one_of("{[")
        elif not at_line_start:
            raise NoMatchError
        elif first == "<":
            source.literal("|python_tag|>")
            source.skip()
            first = source.one_of("{[")
            self._in_head = True
        self._in_array = first == "["
        if self._in_array:
            source.skip()
            source.one_of("{")
        self._read_members({})

    def _read_bare_call(self) -> None:
        """Read `NAME[ARGS]` or `NAME[CALL_ID]ID[ARGS]`."""
        source, call_id = self._source, None
        name = source.word()
        if source.literal("[ARGS]", "[CALL_ID]") == "[CALL_ID]":
            call_id = source.word()
            source.literal("[ARGS]")
        self._name = name
        source.skip()
        if source.peek() != "{":
            raise NoMatchError
        self._begin_call(name, call_id)
        self._begin_arguments(self._read_after_call)

    def _read_members(self, known: dict[str, str]) -> None:
        """Read members of a call's JSON, up to its arguments or its end."""
        source, following = self._source, ","
        while following == ",":
            source.skip()
            member = _MEMBERS[source.string(_MEMBERS)]
            if member in known:
                raise NoMatchError
            source.skip()
            source.one_of(":")
            source.skip()
            if member == "arguments":
                # A call is begun with its arguments: cut before them it is broken, not without.
                if source.peek() != "{" and not self._any_name:
                    raise NoMatchError
                if "name" in known:
                    self._known = known | {member: ""}
                    self._begin_call(known["name"], known.get("id"))
                    self._begin_arguments(self._read_rest)
                    return
                known[member] = self._early_arguments()
            elif member == "name":
                known[member] = self._name = self._read_name()
                if "arguments" in known:
                    self._known, self._step = known, self._read_rest
                    self._begin_call(known["name"], known.get("id"))
                    self._put_arguments(known["arguments"])
                    return
            else:
                known[member] = source.string(None if member == "id" else {"function"})
            source.skip()
            following = source.one_of(",}")
        self._end_call(known)

    def _read_name(self) -> str:
        return self._source.string(None if self._any_name else self._names)

    def _early_arguments(self) -> str:
        """Read arguments that come before the name, scanning on from where the scan ended."""
        source, start = self._source, self._source.at
        if not self._scanned:
            self._arguments, self._scanned = JsonValueScanner(), start
        self._scanned = self._arguments.find_end(source.text, self._scanned)
        if not self._arguments.found:
            raise UnexpectedEndError
        source.at = self._scanned
        return source.text[start : source.at]

    def _read_arguments(self) -> None:
        """Pass on what there is of the arguments."""
        self._source.at = self._arguments.find_end(self._source.text, 0)
        self._put_arguments(self._source.drop())
        if self._arguments.found:
            self._step = self._after_arguments

    def _read_rest(self) -> None:
        """Read what follows the arguments in the JSON of a call."""
        self._source.skip()
        if self._source.one_of(",}") == ",":
            self._read_members(dict(self._known))
        else:
            self._end_call(self._known)

    def _read_next(self) -> None:
        """Read the beginning of the next call of an array, or its end."""
        self._source.skip()
        if self._source.one_of(",]") == ",":
            self._source.skip()
            self._source.one_of("{")
            self._in_head, self._name = True, ""
            self._read_members({})
        else:
            self._source.drop()
            self._step = self._read_after_call

    def _read_no_call(self, *, is_cut: bool) -> None:
        """Pass on what is no call: as text, or as the arguments of a call that is broken."""
        source, called = self._source, self._calls > self._calls_before
        self._scanned = 0
        self._is_broken |= called
        if self._in_head and (self._forced or (is_cut and (self._is_marked or self._name))):
            source.at = 0
            source.skip(_SEPARATORS)
            self._begin_call(self._name if is_cut else "", None)
            self._step = self._read_broken
        elif called and is_cut and not self._in_head:
            # Cut behind a call's arguments: what follows them is syntax, and no text.
            source.text = ""
        elif called and _SEPARATORS.fullmatch(source.text, 0, source.at):
            self._step = self._read_after_call
        else:
            self._forced = False
            self._step = self._read_text
            line = _LAST_LINE.search(source.text[: source.at])
            if line and source.text.startswith(("{", "[", "<"), source.at):
                # What is no call itself ends with the line before one.
                source.at = line.start()
                self._step = self._read_line
            self._put(source.drop())

    def _read_broken(self) -> None:
        self._source.at = len(self._source.text)
        self._put_arguments(self._source.drop())

    # What comes of them

    def _begin_call(self, name: str, call_id: str | None) -> None:
        self._source.drop()
        self._put(ToolCallChunk(self._calls, id=call_id or None, name=name))
        self._calls += 1
        self._in_head, self._scanned = False, 0

    def _begin_arguments(self, following: Callable[[], None]) -> None:
        self._arguments, self._after_arguments = JsonValueScanner(), following
        self._step = self._read_arguments

    def _end_call(self, known: dict[str, str]) -> None:
        if "arguments" not in known and self._any_name and "name" in known:
            if not (self._is_marked or known["name"] in (self._names or ())):
                raise NoMatchError  # the arguments of a tool that has a parameter `name`
            self._begin_call(known["name"], known.get("id"))
        if self._in_head:
            raise NoMatchError
        self._source.drop()
        self._step = self._read_next if self._in_array else self._read_after_call

    def _put_arguments(self, arguments: str) -> None:
        if arguments:
            self._put(ToolCallChunk(self._calls - 1, arguments=arguments))

    def _put(self, item: str | ToolCallChunk) -> None:
        if isinstance(item, str) and self._ready and isinstance(self._ready[-1], str):
            self._ready[-1] += item
        elif item:
            self._ready.append(item)
