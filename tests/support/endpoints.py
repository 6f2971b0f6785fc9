"""Endpoints that several tests register; each registration makes tables of its own."""

from __future__ import annotations

from typing import Optional

from lightapi import Field, RestEndpoint


class Book(RestEndpoint):
    """Two required fields and one of each way to be optional."""

    title: str = Field(min_length=1, max_length=100)
    author: str = Field(min_length=1)
    pages: Optional[int] = Field(default=None, ge=1)
    language: str = "en"


class Counter(RestEndpoint):
    """A number that many clients change."""

    value: int = 0


CLEAN_CODE = {"title": "Clean Code", "author": "Robert Martin"}
