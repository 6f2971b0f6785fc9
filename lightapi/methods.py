"""Which verbs an endpoint answers: what its class is mixed from, or ``Meta.methods``."""

from __future__ import annotations

from collections.abc import Iterable

from lightapi.config import VERBS
from lightapi.exceptions import ConfigurationError

__all__ = ["HttpMethod", "verbs_of"]


class HttpMethod:
    """Mix-ins that name the verbs an endpoint answers; without any it answers all five."""

    class GET:
        """Lists rows and retrieves one."""

        _verb = "GET"

    class POST:
        """Creates rows."""

        _verb = "POST"

    class PUT:
        """Replaces a row."""

        _verb = "PUT"

    class PATCH:
        """Changes a row."""

        _verb = "PATCH"

    class DELETE:
        """Deletes a row."""

        _verb = "DELETE"


def verbs_of(cls: type, methods: Iterable[str]) -> set[str]:
    """Return the verbs that the class names, with mix-ins or in ``Meta.methods``; without any all five."""
    mixed = {base.__dict__["_verb"] for base in cls.__mro__ if "_verb" in base.__dict__}
    given = set(methods)
    if mixed and given and mixed != given:
        names, shown = ([verb for verb in VERBS if verb in verbs] for verbs in (given, mixed))
        raise ConfigurationError(
            f"{cls.__name__}.Meta.methods: names {', '.join(names)}, and the mix-ins of the class {', '.join(shown)}; "
            "say it once"
        )
    return mixed or given or set(VERBS)
