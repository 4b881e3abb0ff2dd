"""What makes a small model take arguments from the question instead of making them up."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_voxtral.local.prompting.json_grammar import MAX_LENGTH, Constraint
from langchain_voxtral.tools.json_schema import map_subschemas

__all__ = ["with_letters_of", "with_words_of"]

_NEARER = 1.0
"""What is added to the logits of the question's words; with 2 they come again and again."""

_MOST_WORDS = 100
_MOST_LETTERS = 500
_BOUND = ("const", "enum", "format", "pattern")


def with_words_of(question: str, constraint: Constraint) -> Constraint:
    """Return a constraint under which the words of a question are likelier than others.

    Only those in ASCII: of others a token is often a part of a letter, and would be repeated.
    """
    words = dict.fromkeys(word for word in re.findall(r"\w+", question) if word.isascii())
    forms = [form for word in list(words)[:_MOST_WORDS] for form in (word, f" {word}")]
    bias = [[form, _NEARER] for form in forms]
    return replace(constraint, fields={**constraint.fields, "logit_bias": bias})


def with_letters_of(question: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return a schema whose free strings are of ASCII and the letters of a question.

    A question that is all ASCII changes nothing, nor does one of so many letters that it
    would be no help.

    Example:
        ```python
        from langchain_voxtral.local.prompting.copying import with_letters_of

        assert with_letters_of("Zoë", {"type": "string"}) == {
            "type": "string",
            "pattern": "^[ -~\\në]*$",
            "maxLength": 120,
        }
        ```
    """
    letters = sorted({letter for letter in question if not letter.isascii()})
    if not letters or len(letters) > _MOST_LETTERS:
        return {**schema}
    pattern = f"^[ -~\\n{''.join(letters)}]*$"

    def spelt(part: Mapping[str, Any]) -> dict[str, Any]:
        copy = map_subschemas(part, spelt)
        if copy.get("type") == "string" and not any(keyword in copy for keyword in _BOUND):
            copy["pattern"] = pattern
            copy.setdefault("maxLength", max(MAX_LENGTH, copy.get("minLength", 0)))
        return copy

    return spelt(schema)
