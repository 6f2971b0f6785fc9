"""``${VAR}`` and ``${VAR:-default}`` in the strings of a file."""

from __future__ import annotations

import os
import re

from lightapi.exceptions import nearest

__all__ = ["Substituted", "Unset", "substituted"]


class Unset(ValueError):
    """A variable is not set, or not written as it must be."""


class Substituted(str):
    """A string into which variables were put."""

    __slots__ = ("is_whole", "taken")
    is_whole: bool
    """One variable fills it; where a number or a boolean is expected it is read as one."""
    taken: dict[str, str]
    """The values that came from the environment, and how each is written."""


_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{[^}]*\}?")


def substituted(text: str) -> str:
    """Return the text with its variables filled in; ``$${`` stands for ``${``.

    A default counts where the variable is unset or empty. Raises Unset.
    """
    if "${" not in text:
        return text
    taken: dict[str, str] = {}

    def value_of(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            raise Unset(f"{found[0]!r} given; allowed: ${{NAME}}, ${{NAME:-default}}, and $${{ for '${{' itself")
        value = os.environ.get(name)
        if default is not None and not value:
            return default.removeprefix(":-")
        if value is None:
            hint = nearest(name, os.environ)
            raise Unset(f"the environment variable {name!r} is not set, and there is no default ${{{name}:-...}}{hint}")
        taken[value] = found[0]
        return value

    result = Substituted(_VARIABLE.sub(value_of, text))
    whole = _VARIABLE.fullmatch(text)
    result.is_whole = whole is not None and whole["name"] is not None
    result.taken = {value: written for value, written in taken.items() if value}
    return result
