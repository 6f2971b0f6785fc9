"""The import path of endpoints that existing users know."""

from lightapi.endpoint import HttpMethod, RestEndpoint

__all__ = ["HttpMethod", "RestEndpoint"]
