"""The documentation page in a real browser: it shows and tries the API, and asks nobody else for anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.browser import Browser, Page, chromium
from tests.support.processes import ROOT, gunicorn, started

pytestmark = [pytest.mark.browser, pytest.mark.slow]
UVICORN = ["-m", "uvicorn", "--port", "{port}"]
THREADS = gunicorn("-k", "gthread", "--threads", "4")
PHONE = 390


class Site(NamedTuple):
    """A served API: its address with the mount prefix, and its document."""

    url: str
    document: dict[str, Any]

    @property
    def operations(self) -> int:
        return sum(
            verb in ("get", "post", "put", "patch", "delete")
            for verbs in self.document["paths"].values()
            for verb in verbs
        )

    def token(self) -> str:
        """Log in."""
        answer = httpx.post(f"{self.url}/auth/login", json={"username": "ada", "password": "open sesame"})
        return str(answer.json()["token"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def served(command: list[str], prefix: str, folder: Path, **environment: str) -> Iterator[Site]:
    """Serve the API until the test is done."""
    settings = {
        "LIGHTAPI_DATABASE_URL": f"sqlite:///{folder / 'things.db'}",
        "LIGHTAPI_JWT_SECRET": "0123456789abcdef0123456789abcdef",
        **environment,
    }
    with started(command, folder / "log", cwd=ROOT, health=f"{prefix}/healthz", environment=settings) as program:
        url = f"http://127.0.0.1:{program.port}{prefix}"
        yield Site(url, httpx.get(f"{url}/openapi.json").json())


@pytest.fixture(scope="module")
def on_uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served([*UVICORN, "tests.apps.documented:app"], "", tmp_path_factory.mktemp("uvicorn"))


@pytest.fixture(scope="module")
def mounted_on_gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from served([*THREADS, "tests.apps.documented:mounted_wsgi"], "/api", tmp_path_factory.mktemp("gunicorn"))


@pytest.fixture(scope="module")
def without_extra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    command = [*UVICORN, "tests.apps.documented:mounted"]
    yield from served(command, "/api", tmp_path_factory.mktemp("plain"), APP_HIDES_SWAGGER_UI="yes")


@pytest.fixture(params=["on_uvicorn", "mounted_on_gunicorn"])
def site(request: pytest.FixtureRequest) -> Site:
    """Give the API with Swagger UI, as it is and below a mount prefix."""
    found: Site = request.getfixturevalue(request.param)
    return found


def assert_kept_to_itself(page: Page, site: Site) -> None:
    """Check that the page broke no rule of its policy and asked nobody else."""
    assert page.problems == []
    foreign = [url for url in page.requests if not url.startswith((f"{site.url}/", "data:"))]
    assert (len(page.requests) > 1, foreign) == (True, [])


def opened(browser: Browser, site: Site, **options: Any) -> Page:
    """Open the page and wait until all operations are on it."""
    page = browser.page(**options)
    page.open(f"{site.url}/docs")
    page.until(f"document.querySelectorAll('.opblock').length === {site.operations}")
    return page


def tried(page: Page, verb: str, path: str, body: object = None) -> str:
    """Try one operation and return what the page shows of the answer."""
    block = f'.opblock-{verb}:has([data-path="{path}"])'
    page.click(f"{block} .opblock-summary-control")
    if body is not None:
        page.type(f"{block} textarea.body-param__text", json.dumps(body))
    page.click(f"{block} .execute")
    page.until(f"document.querySelector({json.dumps(f'{block} .live-responses-table .response-col_status')})")
    return str(page.ask(f"document.querySelector({json.dumps(f'{block} .live-responses-table')}).innerText"))


def background(page: Page) -> int:
    """Return how bright the page is behind everything, from 0 to 765."""
    script = "getComputedStyle(document.documentElement).backgroundColor.match(/[0-9]+/g).slice(0, 3)"
    return sum(map(int, page.ask(script)))


def test_every_operation_is_shown(browser: Browser, site: Site) -> None:
    page = opened(browser, site)

    assert page.ask("document.title") == site.document["info"]["title"]
    shown = page.ask("[...document.querySelectorAll('.opblock-summary-path')].map(path => path.dataset.path)")
    assert set(shown) == site.document["paths"].keys()
    assert_kept_to_itself(page, site)


def test_a_row_is_created_and_listed_with_a_token(browser: Browser, site: Site) -> None:
    page = opened(browser, site)
    page.click(".btn.authorize")
    page.type("#auth-bearer-value", site.token())
    page.click(".auth-container:has(#auth-bearer-value) .authorize")
    page.until("document.querySelector('.auth-container .btn[aria-label=\"Remove authorization\"]')")
    page.click(".btn-done")

    created = tried(page, "post", "/v1/events", {"text": "The page was tried"})
    listed = tried(page, "get", "/v1/events")

    assert created.split()[2].startswith("201"), created
    assert '"text": "The page was tried"' in listed
    assert page.ask("localStorage.length + sessionStorage.length") == 0
    assert_kept_to_itself(page, site)


def test_the_page_follows_the_preference_for_dark(browser: Browser, on_uvicorn: Site) -> None:
    page = opened(browser, on_uvicorn)
    bright = background(page)

    page.prefer(dark=True)
    page.until("document.documentElement.classList.contains('dark-mode')")
    dark = background(page)
    page.prefer(dark=False)
    page.until("!document.documentElement.classList.contains('dark-mode')")

    assert (bright > 600, dark < 150) == (True, True)
    assert background(opened(browser, on_uvicorn, dark=True)) == dark


def test_the_page_fits_a_phone(browser: Browser, on_uvicorn: Site) -> None:
    page = opened(browser, on_uvicorn, width=PHONE)

    assert page.ask("document.documentElement.scrollWidth") == PHONE


def test_nothing_is_fetched_from_elsewhere(browser: Browser, on_uvicorn: Site) -> None:
    page = opened(browser, on_uvicorn)

    page.ask("document.body.append(Object.assign(new Image(), {src: 'https://pictures.example.com/book.png'}))")
    page.until("fetch('https://elsewhere.example.com/').then(() => false, () => true)")

    assert sum(problem.startswith("against the policy") for problem in page.problems) == 2


@pytest.mark.parametrize("width", [1280, PHONE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_without_the_extra_the_page_has_no_script(
    browser: Browser, without_extra: Site, width: int, dark: bool
) -> None:
    page = browser.page(width=width, dark=dark)
    page.open(f"{without_extra.url}/docs")

    assert page.ask("document.scripts.length") == 0
    assert page.ask("document.querySelectorAll('article pre').length") == without_extra.operations
    assert page.ask("document.documentElement.scrollWidth") == width
    assert (background(page) < 150) is dark
    assert 'pip install "lightapi[docs]"' in page.text
    assert httpx.get(f"{without_extra.url}/docs/swagger-ui.css").status_code == 404
    assert_kept_to_itself(page, without_extra)


def test_links_of_the_page_without_script_lead_somewhere(browser: Browser, without_extra: Site) -> None:
    page = browser.page()
    page.open(f"{without_extra.url}/docs")

    unknown = page.ask(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(link => decodeURIComponent(link.hash.slice(1)))"
        ".filter(name => !document.getElementById(name))"
    )
    twice = page.ask(
        "[...document.querySelectorAll('[id]')].map(one => one.id).filter((id, i, all) => all.indexOf(id) !== i)"
    )
    assert (unknown, twice) == ([], [])
