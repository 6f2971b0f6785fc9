"""pydantic's decorators in the body of a class: those that check bodies hold for ours, others are refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pydantic
from pydantic_core import PydanticUndefined

from lightapi.exceptions import ConfigurationError, nearest
from lightapi.problems import Problems

__all__ = ["Decorated", "check_validated", "declared_validators", "validators_on"]

Decorated = Mapping[str, Any]
"""The decorated methods of a class by name, as pydantic left them there."""

_FIELD, _MODEL = "FieldValidatorDecoratorInfo", "ModelValidatorDecoratorInfo"


def declared_validators(cls: type, verbs: Collection[str]) -> Decorated:
    """Return the validators of a class and its bases; raise ConfigurationError for decorators that would do nothing."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            found.pop(name, None)
            if hasattr(value, "decorator_info") and hasattr(value, "wrapped"):
                found[name] = value
    problems = Problems()
    for name, method in found.items():
        with problems.collected():
            _check_kind(f"{cls.__name__}.{name}", method, verbs)
    problems.raise_all()
    return found


def _check_kind(where: str, method: Any, verbs: Collection[str]) -> None:
    kind = type(method.decorator_info).__name__
    if kind == _MODEL and "PATCH" in verbs:
        raise ConfigurationError(
            f"{where}: @model_validator checks whole objects, and PATCH sends parts of one; allowed: @field_validator, "
            "or Meta.methods without PATCH"
        )
    if kind not in (_FIELD, _MODEL):
        given = getattr(method.decorator_info, "decorator_repr", "@computed_field")
        raise ConfigurationError(
            f"{where}: {given} has no effect on rows; allowed: @field_validator, @model_validator, "
            "or a type of your own as in Annotated[int, AfterValidator(check)]"
        )


def check_validated(owner: str, decorated: Decorated, names: Collection[str]) -> None:
    """Raise ConfigurationError for validators of fields that the class does not have."""
    for method, proxy in decorated.items():
        for name in getattr(proxy.decorator_info, "fields", ()):
            if name != "*" and name not in names:
                raise ConfigurationError(
                    f"{owner}.{method}: there is no field {name!r}; allowed: {', '.join(names)}{nearest(name, names)}"
                )


def validators_on(decorated: Decorated, attributes: Mapping[str, str], *, whole: bool) -> dict[str, Any]:
    """Return the validators for a model with these fields; ``whole`` says that its bodies are whole objects.

    ``attributes`` are the model's names for the fields.
    """
    made: dict[str, Any] = {}
    for name, method in decorated.items():
        info = method.decorator_info
        decorate: Any = None
        if type(info).__name__ == _MODEL:
            decorate = pydantic.model_validator(mode=info.mode) if whole else None
        elif here := [attributes.get(each, each) for each in info.fields if each == "*" or each in attributes]:
            given = info.json_schema_input_type
            options = {} if given is PydanticUndefined else {"json_schema_input_type": given}
            decorate = pydantic.field_validator(*here, mode=info.mode, check_fields=False, **options)
        if decorate is not None:
            made[name] = decorate(method.wrapped)
    return made
