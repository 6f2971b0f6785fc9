"""``lightapi token``: print a JSON Web Token as the login route issues them."""

from __future__ import annotations

import argparse
import json
import os

from lightapi.cli.output import show
from lightapi.exceptions import ConfigurationError
from lightapi.tokens import TokenRules, Tokens

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the token, and nothing else."""
    variable = options.secret_from_env
    if not os.environ.get(variable, "").strip():
        raise ConfigurationError(f"no secret: set {variable}")
    rules = TokenRules(
        secret=os.environ[variable],
        algorithms=["HS256"],
        public_key=None,
        private_key=None,
        jwks_url=None,
        audience=None,
        issuer=None,
        leeway=0,
        require_exp=True,
        lifetime=options.expires,
        claims=None,
    )
    show(Tokens("token", rules).issue(_claims(options)))
    return 0


def _claims(options: argparse.Namespace) -> dict[str, object]:
    if options.claims is None:
        return {} if options.sub is None else {"sub": options.sub}
    try:
        claims = json.loads(options.claims)
    except ValueError as error:
        raise ConfigurationError(f"--claims is no JSON: {error}") from None
    if not isinstance(claims, dict):
        raise ConfigurationError(f"--claims {options.claims!r} given; allowed: a JSON object")
    return claims
