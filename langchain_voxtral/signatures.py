"""How models show themselves: their signature to people, and the types they take to checkers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from inspect import Parameter, Signature, signature
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union, cast
from typing import get_args as args_of
from typing import get_origin as origin_of

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

if TYPE_CHECKING:
    Stored = TypeVar("Stored", covariant=True)  # noqa: PLC0105 - names of public type parameters
    Given = TypeVar("Given", contravariant=True)  # noqa: PLC0105

    class Accepts(Generic[Stored, Given]):
        """The type of a field that reads as `Stored`, and that the constructor takes as `Given`.

        Type checkers read both from a descriptor; a validator of the field makes one the other.
        """

        def __get__(self, instance: object, owner: type | None = None) -> Stored: ...
        def __set__(self, instance: object, value: Given) -> None: ...

else:

    class Accepts:
        """The type of a field that reads as one type, and that the constructor takes as another."""

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            """Return the type that is stored; the signature finds the other beside it."""
            stored, given = types
            return Annotated[stored, _Given(given)]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a constructor takes, as metadata of a type."""

    type: Any


class PlainSignature:
    """The signature of a model with plain types, our own arguments before those of LangChain.

    It is made when it is asked for, from pydantic's, which has validators and ranges in its types.
    """

    __slots__ = ("_of_pydantic",)

    def __init__(self, of_pydantic: Any) -> None:
        self._of_pydantic = of_pydantic

    def __get__(self, instance: object, owner: type[BaseModel]) -> Signature:
        detailed: Signature = self._of_pydantic.__get__(instance, owner)  # instances have none
        langchains = set(_langchain_fields(owner))
        parameters = [
            one.replace(annotation=_plain(one.annotation)) for one in detailed.parameters.values()
        ]
        parameters.sort(key=lambda one: (one.kind, one.name in langchains))
        return detailed.replace(parameters=parameters)


class SignatureWithSettings:
    """The signature of a class whose constructor takes the settings of a model, as `**settings`."""

    __slots__ = ("_model_class",)

    def __init__(self, model_class: type[BaseModel]) -> None:
        self._model_class = model_class

    def __get__(self, instance: object, owner: type) -> Signature:
        if instance is not None:  # which has none: it cannot be called
            raise AttributeError("__signature__")
        _, *own = signature(owner.__init__).parameters.values()  # type: ignore[misc]
        if own and own[-1].kind is Parameter.VAR_KEYWORD:
            taken = {one.name for one in own}
            settings = signature(self._model_class).parameters.values()
            own[-1:] = [one for one in settings if one.name not in taken]
        return Signature(own)


class SettingsSchema(GenerateJsonSchema):
    """A JSON schema in which a field that JSON cannot hold (a client, a function) may be anything.

    Pydantic's raises an error for the whole model, and LangChain's own models have such fields.
    """

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """Return the schema of anything."""
        del schema, error_info
        return {}


def show_plain_signature(model_class: type[BaseModel]) -> None:
    """Replace the signature that pydantic gave a class, once it has given one."""
    found = model_class.__dict__.get("__signature__")
    if found is not None and not isinstance(found, PlainSignature):
        model_class.__signature__ = cast("Any", PlainSignature(found))


def _langchain_fields(model_class: type[BaseModel]) -> Iterator[str]:
    for base in model_class.__mro__:
        if base.__module__.startswith("langchain_core.") and issubclass(base, BaseModel):
            yield from base.model_fields


def _plain(annotation: Any) -> Any:
    """Return a type without what `Annotated` adds to it."""
    if annotation is Parameter.empty:
        return annotation
    if origin_of(annotation) is Annotated:
        given = [each.type for each in annotation.__metadata__ if isinstance(each, _Given)]
        return _plain(given[0] if given else annotation.__origin__)
    parts = args_of(annotation)
    plain = tuple(map(_plain, parts))
    if plain == parts or origin_of(annotation) is Literal:
        return annotation
    if origin_of(annotation) in {Union, UnionType}:
        return reduce(or_, plain)
    return origin_of(annotation)[plain]
