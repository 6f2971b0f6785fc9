"""Endpoints in a module of their own, their annotations strings that only this module resolves."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from lightapi import Field, RestEndpoint


class Mood(Enum):
    """Known by name in this module only."""

    GOOD = "good"
    BAD = "bad"


class Moody(RestEndpoint):
    """A base with an annotation of this module."""

    mood: Mood = Mood.GOOD
    reason: Optional[str] = Field(default=None, max_length=9)
