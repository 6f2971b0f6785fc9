"""The public keys of an issuer, fetched from its JWKS URL (RFC 7517 section 5) and kept."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from lightapi.exceptions import ConfigurationError, ServiceUnavailable

__all__ = ["KeySet"]

logger = logging.getLogger("lightapi")

_FRESH = 300.0
"""Seconds after which the keys are fetched anew."""
_PAUSE = 10.0
"""Seconds without a fetch after one that was in vain: forged tokens must not make us ask all the time."""
_RETRY = 1.0
"""The same while there is no key at all."""
_TIMEOUT = 3.0
"""Seconds that a fetch may take."""
_LARGEST = 1024 * 1024
"""Bytes that a key set may have."""
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""What a key may verify that does not say it (RFC 7517 section 4.4), by its ``kty``."""

Keys = dict[str | None, dict[str, Any]]
"""Keys by ``kid`` and ``alg``: one id may stand for keys of several kinds (RFC 7517 section 4.5)."""


class KeySet:
    """Finds keys by ``kid`` and ``alg``. Keys that were fetched go on to serve while the issuer can't be reached."""

    def __init__(self, where: str, url: str) -> None:
        from jwt import PyJWK  # as late as the first backend that needs it

        if not _is_url(url):
            raise ConfigurationError(f"{where}: jwks_url={url!r} given; allowed: an https:// or http:// URL")
        self._url = url
        self._make = PyJWK
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._fetched = self._in_vain = -_FRESH

    def would_fetch(self, key_id: str | None) -> bool:
        """Tell whether ``key_of`` would ask the issuer."""
        now = monotonic()
        if key_id in self._keys and now - self._fetched <= _FRESH:
            return False
        return now - self._in_vain > (_PAUSE if self._keys else _RETRY)

    def key_of(self, key_id: str | None, algorithm: str) -> Any:
        """Return the key; raise ValueError for an unknown one, ServiceUnavailable while none could be fetched.

        A token without ``kid`` is for the only key of the set.
        """
        # Whoever finds another thread asking goes on with the keys that are there.
        if self.would_fetch(key_id) and self._lock.acquire(blocking=not self._keys):
            try:
                if self.would_fetch(key_id) and not (self._fetch() and key_id in self._keys):
                    self._in_vain = monotonic()
            finally:
                self._lock.release()
        if not self._keys:
            raise ServiceUnavailable
        try:
            return self._keys[key_id][algorithm]
        except KeyError:
            raise ValueError("kid") from None

    def _fetch(self) -> bool:
        try:
            given = json.loads(_content(self._url))["keys"]
            found = self._found([key for key in given if isinstance(key, dict) and key.get("use") in ("sig", None)])
        except Exception as error:  # noqa: BLE001  whatever the issuer sends or does not send
            logger.warning("the key set of %s cannot be fetched: %s: %s", self._url, type(error).__name__, error)
            return False
        if not found:
            logger.warning("the key set of %s has no key to verify with", self._url)
            return False
        self._keys = found
        self._fetched = monotonic()
        return True

    def _found(self, given: list[dict[str, Any]]) -> Keys:
        """Return the keys that can verify; all others are left out."""
        made = [(key.get("kid"), self._made(key)) for key in given]
        usable = [(key_id, by_algorithm) for key_id, by_algorithm in made if by_algorithm]
        found: Keys = {}
        for key_id, by_algorithm in usable:
            if isinstance(key_id, str) and key_id:
                found.setdefault(key_id, {}).update(by_algorithm)
        if len(usable) == 1:
            found[None] = usable[0][1]
        return found

    def _made(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a key as it is used with each algorithm that it is for."""
        made = {}
        for algorithm in _ALGORITHMS.get(str(given.get("kty")), ()):
            if given.get("alg") in (algorithm, None):
                try:
                    made[algorithm] = self._make(given, algorithm)
                except Exception as error:  # noqa: BLE001  junk among good keys
                    logger.debug("a key of %s is not used: %s: %s", self._url, type(error).__name__, error)
        return made


def _is_url(url: Any) -> bool:
    try:
        parts = urlsplit(url)
        return isinstance(url, str) and parts.scheme in ("https", "http") and bool(parts.hostname)
    except (ValueError, TypeError, AttributeError):
        return False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where they were declared to come from."""

    def redirect_request(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make the redirection an error."""


def _content(url: str) -> bytes:
    """Return what is at a URL; raise an error of whatever kind when that takes too long or is too much."""
    deadline = monotonic() + _TIMEOUT
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "lightapi"})  # noqa: S310  checked
    content = b""
    with urllib.request.build_opener(_NoRedirects()).open(request, timeout=_TIMEOUT) as response:
        while part := response.read1(_LARGEST):
            content += part
            if len(content) > _LARGEST:
                raise ValueError(f"more than {_LARGEST} bytes")
            if monotonic() > deadline:
                raise TimeoutError(f"not finished after {_TIMEOUT} seconds")
    return content
