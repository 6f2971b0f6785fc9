"""The public keys of an issuer, fetched from its JWKS URL (RFC 7517 section 5) and kept."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import Any

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


class KeySet:
    """Finds keys by their ``kid``. Keys that were fetched go on to serve while the issuer can't be reached."""

    def __init__(self, where: str, url: str) -> None:
        import jwt  # as late as the first backend that needs it

        try:
            self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_TIMEOUT)
        except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
            raise ConfigurationError(f"{where}: jwks_url={url!r} given; allowed: an https:// or http:// URL") from None
        if not url.lower().startswith(("https://", "http://")):
            raise ConfigurationError(f"{where}: jwks_url={url!r} given; allowed: an https:// or http:// URL")
        self._parse = jwt.PyJWKSet.from_dict
        self._lock = threading.Lock()
        self._keys: dict[str | None, Any] = {}
        self._fetched = self._in_vain = -_FRESH

    def would_fetch(self, key_id: str | None) -> bool:
        """Tell whether ``key_of`` would ask the issuer."""
        now = monotonic()
        if key_id in self._keys and now - self._fetched <= _FRESH:
            return False
        return now - self._in_vain > (_PAUSE if self._keys else _RETRY)

    def key_of(self, key_id: str | None) -> Any:
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
            return self._keys[key_id]
        except KeyError:
            raise ValueError("kid") from None

    def _fetch(self) -> bool:
        try:
            keys = [key for key in self._parse(self._client.fetch_data()).keys if key.public_key_use in ("sig", None)]
        except Exception as error:  # noqa: BLE001  whatever the issuer sends or does not send
            logger.warning("the key set of %s cannot be fetched: %s", self._client.uri, error)
            return False
        found: dict[str | None, Any] = {key.key_id: key for key in keys if key.key_id}
        if len(keys) == 1:
            found[None] = keys[0]
        if not found:
            logger.warning("the key set of %s has no key to verify with", self._client.uri)
            return False
        self._keys = found
        self._fetched = monotonic()
        return True
