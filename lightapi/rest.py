"""The import path of endpoints that existing users know."""

from lightapi.endpoint import RestEndpoint
from lightapi.methods import HttpMethod

__all__ = ["HttpMethod", "RestEndpoint"]
