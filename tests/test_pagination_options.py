"""What ``Pagination`` refuses, and which choice it offers instead."""

from __future__ import annotations

from typing import Any

import pytest

from lightapi import ConfigurationError, LightApi, Pagination, RestEndpoint


@pytest.mark.parametrize(
    ("option", "wrong", "words"),
    [
        ("style", "cursr", ["'cursr'", "did you mean 'cursor'?"]),
        ("style", "page-number", ["'page_number', 'cursor', 'limit_offset'", "did you mean 'page_number'?"]),
        ("style", None, ["None", "limit_offset"]),
        ("page_size", 0, ["0 given", "whole number, 1 to"]),
        ("page_size", -1, ["-1"]),
        ("page_size", True, ["True"]),
        ("page_size", "20", ["'20'"]),
        ("page_size", 2.0, ["2.0"]),
        ("page_size", None, ["None"]),
        ("page_size", 10**9, ["1000000000"]),
        ("max_page_size", 0, ["0 given"]),
        ("max_page_size", 19, ["max_page_size=19", "page_size=20"]),
        ("max_page_size", "50", ["'50'"]),
        ("count", "cap", ["'cap'", "'capped'", "'estimate'"]),
        ("count", "estimated", ["did you mean 'estimate'?"]),
        ("count", 1, ["1 given", "True"]),
        ("count", None, ["None given"]),
        ("backwards", True, ["backwards", "cursor"]),
        ("backwards", 1, ["1 given"]),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(option: str, wrong: Any, words: list[str]) -> None:
    options: Any = {option: wrong}

    with pytest.raises(ConfigurationError) as caught:
        Pagination(**options)

    assert [word for word in (f"Pagination({option}=", *words) if word not in str(caught.value)] == []


def test_an_option_that_does_not_exist_is_an_error() -> None:
    options: Any = {"pagesize": 5}

    with pytest.raises((ConfigurationError, TypeError), match="pagesize"):
        Pagination(**options)


@pytest.mark.parametrize("wrong", [{"page_size": 5}, "cursor", 5, Pagination], ids=str)
def test_meta_takes_nothing_but_a_pagination(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.Meta\.pagination: .* given; allowed: Pagination\(\.\.\.\)"):
        type("Wrong", (RestEndpoint,), {"Meta": type("Meta", (), {"pagination": wrong})})


@pytest.mark.parametrize("wrong", [{"page_size": 5}, "cursor", 20, Pagination], ids=str)
def test_an_app_takes_nothing_but_a_pagination(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"default_pagination=.* given; allowed: Pagination\(\.\.\.\)"):
        LightApi(database_url="sqlite://", default_pagination=wrong)
