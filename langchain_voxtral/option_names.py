"""The names of options: what is accepted besides the canonical ones, and what errors say."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from copy import copy

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from langchain_voxtral.providers import LOCAL_BASE_URL, OTHER_KEY_VARIABLE, PROVIDERS, key_variables

_ALIASES: Mapping[str, Iterable[str]] = {
    "model": ("model_name",),
    "max_tokens": ("max_new_tokens", "max_completion_tokens", "max_output_tokens"),
    "stop": ("stop_sequences", "stop_tokens"),
    "model_kwargs": ("extra_body",),
    "api_key": ("openai_api_key", "token"),
    "base_url": ("openai_api_base", "api_base", "url"),
    "timeout": ("request_timeout",),
}
"""Names by which other classes of LangChain, and servers, have these options."""

_KEY_OWNERS = {
    variable.lower(): provider.label
    for provider in PROVIDERS.values()
    for variable in provider.key_variables
} | {OTHER_KEY_VARIABLE.lower(): "a server of your own"}
"""Names of keys, as environment variables have them, and whose keys they are."""

FIELD_ALIASES = {
    alias: name for name, aliases in _ALIASES.items() for alias in aliases
} | dict.fromkeys(_KEY_OWNERS, "api_key")
"""Names that are accepted besides the canonical ones."""

KEY_NAMES = frozenset(
    ["api_key", *(alias for alias, name in FIELD_ALIASES.items() if name == "api_key")]
)
"""All names by which a key is given."""


def names_of(name: str) -> AliasChoices:
    """Return an option's name and its aliases, for its field."""
    return AliasChoices(name, *(alias for alias in FIELD_ALIASES if FIELD_ALIASES[alias] == name))


def leave_names(model_class: type[BaseModel]) -> None:
    """Take no alias for an option that is the name of a field of a subclass.

    Else the value of a subclass's own `token` would be sent to the server as its key.
    """
    fields = model_class.model_fields
    taken = {
        name: [each for each in choices.choices if each == name or each not in fields]
        for name, field in fields.items()
        if isinstance(choices := field.validation_alias, AliasChoices)
        and any(each != name and each in fields for each in choices.choices)
    }
    for name, rest in taken.items():
        fields[name] = copy(fields[name])  # it may be the base's
        fields[name].validation_alias = AliasChoices(*rest)
    if taken:
        model_class.model_rebuild(force=True, raise_errors=False)


def reject_unknown_names(known: Collection[str], values: object, advice: str = "") -> None:
    """Raise a ValueError for an option that does not exist, or is given under two names.

    Args:
        known: The canonical names, and those that a subclass has added: an alias among them is a
            name of its own.
        values: What was given.
        advice: What to do with an option that does not exist.
    """
    seen: dict[str, str] = {}
    for given in map(str, values) if isinstance(values, dict) else ():
        name = given if given in known else FIELD_ALIASES.get(given, given)
        if name not in known:
            raise ValueError(unknown_option_message(given, known, advice))
        if name in seen:
            raise ValueError(same_option_message(*sorted((given, seen[name]), key=name.__eq__)))
        seen[name] = given


def unknown_option_message(given: str, known: Iterable[str], advice: str = "") -> str:
    """Return the message for an option that does not exist, with the one that may be meant."""
    names = {name: name for name in known}
    names.update((alias, name) for alias, name in FIELD_ALIASES.items() if name in names)
    close = difflib.get_close_matches(given, sorted(names), n=1)
    hint = f" Did you mean {names[close[0]]!r}?" if close else ""
    return f"there is no option {given!r}.{hint}{advice and ' '}{advice}"


def same_option_message(alias: str, name: str) -> str:
    """Return the message for an option that is given under two names."""
    return f"{alias!r} is {name!r} once more: give one of them"


def constructor_option_message(name: str) -> str:
    """Return the message for an option of the constructor that is given to a call."""
    return f"{name!r} is set at the constructor, not at a call"


def wrong_call_message(problems: Iterable[str]) -> str:
    """Return what an error says of the options of a call."""
    return f"Wrong options for this call: {'; '.join(problems)}."


def check_key_name(known: Collection[str], values: object, base_url: str) -> None:
    """Raise a ValueError if a key is named after a server that is not the one at an address.

    The embedded engine is sent no such key, so that none can be wrong.

    Args:
        known: The canonical names, and those that a subclass has added.
        values: What was given.
        base_url: The address.
    """
    for given in values if isinstance(values, dict) else ():
        owner = None if given in known else _KEY_OWNERS.get(given)
        if owner and base_url != LOCAL_BASE_URL and given.upper() not in key_variables(base_url):
            raise ValueError(
                f"{given}= is a key of {owner}, and base_url={base_url!r} is another server: give "
                "the key that belongs there as api_key="
            )


def without_links(error: ValidationError) -> ValidationError:
    """Return an error without pydantic's links, which explain its terms and not our options.

    Nor has it what was given, which may be a key.
    """
    problems: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError(
                problem["type"],
                problem["msg"].removeprefix("Value error, "),
            ),
            "loc": problem["loc"],
            "input": None,
        }
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, problems, hide_input=True)
