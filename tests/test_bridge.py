"""The bridge lets any ASGI application answer a WSGI server, whatever the client does."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lightapi.adapters.bridge import Bridge
from lightapi.adapters.loop import LoopThread, gevent_patched

with warnings.catch_warnings():
    # WebOb imports the deprecated module cgi.
    warnings.simplefilter("ignore", DeprecationWarning)
    from webtest import TestApp

LIMIT = 1000
Make = Callable[..., Bridge]


@pytest.fixture
def make() -> Iterator[Make]:
    """Give a function that makes bridges, and close them afterwards."""
    made: list[Bridge] = []

    def bridge(app: ASGIApp, **options: Any) -> Bridge:
        made.append(Bridge(app, max_body_size=LIMIT, **options))
        return made[-1]

    yield bridge
    for each in made:
        each.close()


def environ(path: str = "/", body: bytes = b"", **changes: Any) -> dict[str, Any]:
    made = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        **changes,
    }
    if body and "wsgi.input_terminated" not in made:
        made.setdefault("CONTENT_LENGTH", str(len(body)))
    return made


class Answer:
    """What a WSGI server is told, with the iterable for the test to consume."""

    def __init__(self, bridge: Bridge, given_environ: dict[str, Any], app: ASGIApp | None = None) -> None:
        self.calls: list[tuple[str, list[tuple[str, str]]]] = []
        respond = bridge if app is None else lambda *arguments: bridge.respond(app, *arguments)
        self.pieces = cast("Generator[bytes]", iter(respond(given_environ, self._start_response)))

    def _start_response(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.calls.append((status, headers))

    @property
    def status(self) -> int:
        ((status, _),) = self.calls
        return int(status[:3])

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.calls[0][1] if key.lower() == name]

    def read(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> Any:
        return json.loads(self.read())

    def next_piece(self) -> bytes:
        """Return the next piece that is not empty."""
        return next(piece for piece in self.pieces if piece)


def get(bridge: Bridge, path: str = "/", body: bytes = b"", /, **changes: Any) -> Answer:
    return Answer(bridge, environ(path, body, **changes))


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def tasks_left(bridge: Bridge) -> int:
    """Count the tasks of requests on the loop."""

    async def names() -> list[str]:
        return [str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks()]

    found: list[str] = bridge.run(names())
    return sum(name.startswith(("_Responder", "ASGIResponder")) for name in found)


_earlier: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def note_earlier_threads() -> None:
    """Remember the loops of apps that other tests of this process have left running."""
    _earlier.clear()
    _earlier.update(threading.enumerate())


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lightapi-loop" and thread not in _earlier]


def http_only(handler: Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]) -> ASGIApp:
    """Return an application that, like many, does not know the lifespan protocol."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await handler(scope, receive, send)

    return app


async def start(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})


async def piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def read_all(receive: Receive) -> bytes:
    request = Request({"type": "http"}, receive)
    return await request.body()


@http_only
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_all(receive)
    await JSONResponse({"length": len(body), "path": scope["path"], "start": body[:9].decode("latin-1")})(
        scope,
        receive,
        send,
    )


class Truncated(io.BytesIO):
    """A connection that the client closes after five bytes."""

    def __init__(self) -> None:
        super().__init__(b"12345")


# Bodies and paths


def test_a_truncated_body_is_a_400_and_cancels_the_application(make: Make) -> None:
    ended: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read_all(receive)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    bridge = make(app)
    answer = get(bridge, CONTENT_LENGTH="1000", **{"wsgi.input": Truncated()})

    assert answer.json() == {"detail": "the body ended before its declared length"}
    assert answer.status == 400
    eventually(lambda: ended == ["cancelled"] and tasks_left(bridge) == 0)


def test_nothing_keeps_running_after_a_truncated_body(make: Make) -> None:
    bridge = make(echo)
    get(bridge, CONTENT_LENGTH="1000", **{"wsgi.input": Truncated()}).read()
    before = time.process_time()
    time.sleep(0.3)

    assert time.process_time() - before < 0.1


def test_a_truncated_body_behind_a_begun_answer_breaks_it_off(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"first")
        await read_all(receive)

    bridge = make(app)
    answer = get(bridge, CONTENT_LENGTH="1000", **{"wsgi.input": Truncated()})

    assert answer.next_piece() == b"first"
    with pytest.raises(Exception, match="ended before its declared length"):
        answer.read()
    eventually(lambda: tasks_left(bridge) == 0)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200_000])
def test_a_declared_body_arrives_whole(make: Make, size: int) -> None:
    assert get(make(echo), "/", b"x" * size, CONTENT_LENGTH=str(size)).json()["length"] == size


def test_a_chunked_body_arrives_whole(make: Make) -> None:
    answer = get(make(echo), "/", b"abcdefghij", **{"wsgi.input_terminated": True})

    assert answer.json() == {"length": 10, "path": "/", "start": "abcdefghi"}


def test_an_application_sees_that_a_chunked_body_is_too_large_before_the_bridge_refuses(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await PlainTextResponse("mine", 413 if len(message["body"]) > LIMIT else 200)(scope, receive, send)

    answer = get(make(app), "/", b"x" * 200_000, **{"wsgi.input_terminated": True})

    assert answer.read() == b"mine"
    assert answer.status == 413


def test_a_chunked_body_that_an_application_reads_beyond_the_limit_is_a_413(make: Make) -> None:
    bridge = make(echo)
    answer = get(bridge, "/", b"x" * 200_000, **{"wsgi.input_terminated": True})

    assert answer.json() == {"detail": "body too large (limit 1000 bytes)"}
    assert answer.status == 413
    eventually(lambda: tasks_left(bridge) == 0)


def test_a_body_without_length_or_end_is_empty(make: Make) -> None:
    answer = get(make(echo), **{"wsgi.input": io.BytesIO(b"unread")})

    assert answer.json()["length"] == 0


@pytest.mark.parametrize("text", ["abc", "-5", "+5", "5_0", "٣", "\xb3"])
def test_a_bad_content_length_is_a_400(make: Make, text: str) -> None:
    answer = get(make(echo), "/", b"12345", CONTENT_LENGTH=text)

    assert answer.json() == {"detail": "Content-Length is not a number"}
    assert answer.status == 400


def test_a_path_that_is_not_dressed_as_pep_3333_says_is_a_404(make: Make) -> None:
    answer = get(make(echo), "/\u20ac")

    assert answer.json() == {"detail": "not found"}
    assert answer.status == 404
    assert answer.header("content-type") == ["application/json"]


def test_a_refusal_of_head_has_no_body(make: Make) -> None:
    answer = get(make(echo), "/\u20ac", REQUEST_METHOD="HEAD")

    assert answer.read() == b""
    assert answer.status == 404


def test_a_utf8_path_and_a_raw_query_arrive_as_text(make: Make) -> None:
    async def show(request: Request) -> Response:
        return JSONResponse([request.url.path, request.query_params["q"], request.scope["root_path"]])

    app = Starlette(routes=[Route("/{name}", show)])
    query = "q=é".encode().decode("latin-1")
    answer = get(make(app), "/é".encode().decode("latin-1"), SCRIPT_NAME="/api", QUERY_STRING=query)

    assert answer.json() == ["/api/é", "é", "/api"]


def test_urls_are_right_below_a_script_name(make: Make) -> None:
    async def show(request: Request) -> Response:
        return JSONResponse([str(request.url), str(request.url_for("books"))])

    app = Starlette(routes=[Mount("/v1", routes=[Route("/books", show, name="books")])])
    answer = get(make(app), "/v1/books", SCRIPT_NAME="/api", HTTP_HOST="example.org")

    assert answer.json() == ["http://example.org/api/v1/books", "http://example.org/api/v1/books"]


def test_a_client_without_a_port_is_still_a_client(make: Make) -> None:
    async def show(request: Request) -> Response:
        return JSONResponse(request.client)

    assert get(make(Starlette(routes=[Route("/", show)]))).json() == ["127.0.0.1", 0]


# Answers


def test_wsgi_lint_finds_nothing_to_object_to(make: Make) -> None:
    async def page(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse(await request.json(), 201)
        return PlainTextResponse("page")

    def stream(request: Request) -> Response:
        return StreamingResponse(iter(["a", "b"]), media_type="text/plain")

    def nothing(request: Request) -> Response:
        return Response(status_code=204)

    routes = [Route("/page", page, methods=["GET", "POST"]), Route("/stream", stream), Route("/nothing", nothing)]
    client = TestApp(make(Starlette(routes=routes)), lint=True)

    assert client.get("/page").text == "page"
    assert client.head("/page").body == b""
    assert client.post_json("/page", {"a": 1}, status=201).json == {"a": 1}
    assert client.get("/stream").text == "ab"
    assert client.get("/nothing", status=204).body == b""
    assert client.get("/missing", status=404).text == "Not Found"


def test_wsgi_lint_accepts_refusals_and_failures(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    client = TestApp(make(app), lint=True)

    assert client.get("/", status=500).json == {"detail": "internal server error"}
    refused = client.get("/", extra_environ={"CONTENT_LENGTH": "5_0"}, status=400)
    assert refused.json == {"detail": "Content-Length is not a number"}


def test_head_has_the_headers_of_get_and_no_body(make: Make) -> None:
    answer = get(make(echo), REQUEST_METHOD="HEAD")

    assert answer.read() == b""
    assert answer.status == 200
    assert int(answer.header("content-length")[0]) > 0


def test_every_cookie_is_kept(make: Make) -> None:
    async def show(request: Request) -> Response:
        response = PlainTextResponse("x")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    answer = get(make(Starlette(routes=[Route("/", show)])))
    answer.read()

    assert [cookie.split(";")[0] for cookie in answer.header("set-cookie")] == ["a=1", "b=2"]


def test_headers_that_belong_to_the_server_are_dropped(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Connection": "close", "Transfer-Encoding": "chunked", "X-Kept": "1"}
        await PlainTextResponse("x", headers=headers)(scope, receive, send)

    answer = get(make(app))
    answer.read()

    assert sorted(name for name, _ in answer.calls[0][1]) == ["content-length", "content-type", "x-kept"]


def test_headers_and_buffers_may_be_left_to_their_defaults(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 299})
        await send({"type": "http.response.body", "body": memoryview(b"x"), "more_body": True})
        await send({"type": "http.response.body"})

    answer = get(make(app))

    assert [(type(piece), piece) for piece in answer.pieces if piece] == [(bytes, b"x")]
    assert answer.calls == [("299 Unknown Status Code", [])]


def test_the_first_piece_of_a_stream_comes_at_once(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"first")
        await asyncio.to_thread(first_has_come.wait, 20)
        await piece(send, b"last", more=False)

    first_has_come = threading.Event()
    answer = get(make(app))

    assert answer.next_piece() == b"first"
    first_has_come.set()
    assert answer.read() == b"last"


def test_a_stream_goes_no_faster_than_the_server_takes_it(make: Make) -> None:
    sent: list[int] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for number in range(100):
            await piece(send, b"%d" % number)
            sent.append(number)

    answer = get(make(app))
    answer.next_piece()
    answer.next_piece()
    time.sleep(0.1)

    assert sent == [0]
    answer.pieces.close()


def test_another_application_can_answer_on_the_same_loop(make: Make) -> None:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    answer = Answer(make(echo), environ(), app=StreamingResponse(numbers()))

    assert answer.read() == b"012"


# Failures


def test_a_failure_is_logged_with_its_traceback_and_answered_500(
    make: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("the reason")

    answer = get(make(app), "/broken")

    assert answer.json() == {"detail": "internal server error"}
    assert answer.status == 500
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (record.name, record.getMessage()) == ("lightapi", "GET '/broken' failed")
    assert record.exc_info is not None
    assert repr(record.exc_info[1]) == "ValueError('the reason')"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, asyncio.CancelledError])
def test_no_exception_ends_the_loop_or_hangs_the_client(make: Make, error: type[BaseException]) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise error
        await PlainTextResponse("fine")(scope, receive, send)

    bridge = make(app)

    assert get(bridge, "/broken").json() == {"detail": "internal server error"}
    assert get(bridge, "/").read() == b"fine"


def test_a_task_of_the_application_that_exits_does_not_end_the_loop(make: Make) -> None:
    async def leave() -> None:
        sys.exit("no")

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.ensure_future(leave())
        await asyncio.wait([task])
        await PlainTextResponse(repr(task.exception()))(scope, receive, send)

    assert get(make(app)).read() == b"SystemExit('no')"


def test_a_failure_after_the_start_and_before_the_body_is_a_clean_500(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        raise ValueError

    answer = get(make(app))

    assert answer.json() == {"detail": "internal server error"}
    assert answer.status == 500
    assert answer.header("content-type") == ["application/json"]


@pytest.mark.parametrize("error", [ValueError("the reason"), SystemExit("the reason")])
def test_a_failure_in_mid_stream_breaks_the_answer_off(make: Make, error: BaseException) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"first")
        raise error

    bridge = make(app)
    answer = get(bridge)

    assert answer.next_piece() == b"first"
    with pytest.raises((ValueError, RuntimeError), match="the reason"):
        answer.read()
    eventually(lambda: tasks_left(bridge) == 0)


def test_an_answer_that_has_started_is_never_started_again(make: Make) -> None:
    calls: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await asyncio.wait_for(piece(send, b"x", more=False), 0.05)

    def slow_start_response(status: str, headers: list[tuple[str, str]], *failure: Any) -> None:
        calls.append(status)
        time.sleep(0.2)

    with pytest.raises(asyncio.TimeoutError):
        list(make(app)(environ(), slow_start_response))
    assert calls == ["200 OK"]


@pytest.mark.parametrize("begun", ["", "begun"], ids=["at once", "in mid-stream"])
def test_an_application_that_returns_without_an_answer_is_a_failure(make: Make, begun: str) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await start(send)
            await piece(send, b"first")

    answer = get(make(app))

    if begun:
        with pytest.raises(RuntimeError, match="without completing its response"):
            answer.read()
    else:
        assert answer.json() == {"detail": "internal server error"}


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"x"}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.start", "status": 200}],
        [{"type": "http.response.trailers", "headers": []}],
    ],
    ids=["no start", "two starts", "unknown"],
)
def test_a_message_out_of_place_is_the_applications_failure(make: Make, messages: list[dict[str, Any]]) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    assert get(make(app)).json() == {"detail": "internal server error"}


# Clients that go away


def test_a_client_that_goes_away_cancels_the_application(make: Make) -> None:
    left: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await start(send)
            while True:
                await piece(send, b"more")
        finally:
            left.append("finally")

    bridge = make(app)
    answer = get(bridge)
    answer.next_piece()
    answer.pieces.close()

    eventually(lambda: left == ["finally"] and tasks_left(bridge) == 0)


def test_an_answer_that_is_never_closed_is_let_go_with_its_iterable(make: Make) -> None:
    left: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await start(send)
            await piece(send, b"more")
            await asyncio.sleep(60)
        finally:
            left.append("finally")

    answer = get(make(app))
    answer.next_piece()
    del answer
    gc.collect()

    eventually(lambda: left == ["finally"])


def test_an_application_that_ignores_its_cancellation_cannot_send(
    make: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            await piece(send, b"more")
            await piece(send, b"more")
        except asyncio.CancelledError:
            heard.append(str((await receive())["type"]))
            try:
                await piece(send, b"more")
            except OSError as error:
                heard.append(str(error))
                raise

    bridge = make(app)
    answer = get(bridge)
    answer.next_piece()
    answer.pieces.close()

    eventually(lambda: heard == ["http.disconnect", "the client has gone"] and tasks_left(bridge) == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_client_that_went_away_is_no_failure(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"more"

    bridge = make(http_only(StreamingResponse(forever())))
    answer = get(bridge)
    answer.next_piece()
    answer.pieces.close()

    eventually(lambda: tasks_left(bridge) == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_is_disconnected_says_so_after_the_answer(make: Make) -> None:
    seen: list[bool] = []

    async def show(request: Request) -> Response:
        async def look() -> None:
            await asyncio.sleep(0.05)
            seen.append(await request.is_disconnected())

        seen.append(await request.is_disconnected())
        return PlainTextResponse("x", background=BackgroundTask(look))

    answer = get(make(Starlette(routes=[Route("/", show)])))

    assert answer.read() == b"x"
    eventually(lambda: len(seen) == 2)
    assert seen == [False, True]


def test_asking_whether_the_client_is_there_loses_no_byte_of_the_body(make: Make) -> None:
    async def show(request: Request) -> Response:
        for _ in range(3):
            await request.is_disconnected()
            await asyncio.sleep(0.02)
        return JSONResponse(len(await request.body()))

    bridge = make(Starlette(routes=[Route("/", show, methods=["POST"])]))

    assert get(bridge, "/", b"x" * 100_000, REQUEST_METHOD="POST").json() == 100_000
    assert get(bridge, REQUEST_METHOD="POST").json() == 0


def test_a_task_that_listens_for_the_end_hears_it_though_the_body_was_never_read(make: Make) -> None:
    heard: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x")(scope, receive, send)
        while (kind := (await receive())["type"]) != "http.disconnect":
            heard.append(kind)
        heard.append(kind)

    bridge = make(app)

    assert get(bridge, "/", b"unread").read() == b"x"
    eventually(lambda: heard == ["http.disconnect"] and tasks_left(bridge) == 0)


class Hesitant(io.BytesIO):
    """A client that sends nothing for a while."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.2)
        return super().read(size)


def test_a_receive_that_timed_out_loses_no_byte_of_the_body(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        timeouts = 0
        for _ in range(2):
            try:
                await asyncio.wait_for(receive(), 0.05)
            except asyncio.TimeoutError:
                timeouts += 1
        body = await read_all(receive)
        await JSONResponse([timeouts, len(body)])(scope, receive, send)

    answer = get(make(app), CONTENT_LENGTH="5", **{"wsgi.input": Hesitant(b"12345")})

    assert answer.json() == [2, 5]


def test_a_task_that_listens_while_the_client_leaves_with_the_last_piece_is_told(make: Make) -> None:
    heard: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            await asyncio.sleep(0.05)
            heard.append(str((await receive())["type"]))

        listener = asyncio.create_task(listen())
        await PlainTextResponse("x")(scope, receive, send)
        await listener

    bridge = make(app)
    answer = get(bridge, "/", b"unread")
    answer.next_piece()
    time.sleep(0.2)
    answer.pieces.close()

    eventually(lambda: heard == ["http.disconnect"] and tasks_left(bridge) == 0)


# Background tasks


def test_background_tasks_run_after_the_answer_and_hold_up_nobody(make: Make) -> None:
    done: list[str] = []
    answered = threading.Event()

    async def work() -> None:
        await asyncio.to_thread(answered.wait, 20)
        done.append("worked")

    async def show(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(work))

    answer = get(make(Starlette(routes=[Route("/", show)])))

    assert answer.read() == b"x"
    answer.pieces.close()
    assert done == []
    answered.set()
    eventually(lambda: done == ["worked"])


def test_background_tasks_run_though_the_client_did_not_wait_for_the_last_piece(make: Make) -> None:
    done: list[str] = []

    async def show(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(done.append, "worked"))

    answer = get(make(Starlette(routes=[Route("/", show)])))
    answer.next_piece()
    answer.pieces.close()

    eventually(lambda: done == ["worked"])


def test_a_failing_background_task_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("the reason")

    bridge = make(http_only(PlainTextResponse("x", background=BackgroundTask(fail))))

    assert get(bridge).read() == b"x"
    eventually(lambda: "the reason" in caplog.text)


def test_closing_waits_for_background_tasks_and_then_cancels_them_before_the_shutdown(make: Make) -> None:
    ended: list[str] = []

    def app_that_takes(seconds: float) -> ASGIApp:
        async def work() -> None:
            try:
                await asyncio.sleep(seconds)
                ended.append("done")
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        async def show(request: Request) -> Response:
            return PlainTextResponse("x", background=BackgroundTask(work))

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            ended.append("down")

        return Starlette(routes=[Route("/", show)], lifespan=lifespan)

    for seconds in (0.2, 60):
        bridge = make(app_that_takes(seconds))
        get(bridge).read()
        bridge.close(timeout=2)

    assert ended == ["done", "down", "cancelled", "down"]


# The loop


def test_making_a_bridge_starts_nothing(make: Make) -> None:
    before = threading.active_count()
    make(echo)

    assert threading.active_count() == before


def test_a_burst_of_first_requests_starts_one_loop(make: Make) -> None:
    starts: list[int] = []
    gate = threading.Barrier(8)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            starts.append(threading.get_ident())
            await asyncio.sleep(0.05)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await JSONResponse(threading.get_ident())(scope, receive, send)

    bridge = make(app)

    def ask(_: int) -> Any:
        gate.wait()
        return get(bridge).json()

    with ThreadPoolExecutor(8) as pool:
        threads = set(pool.map(ask, range(8)))

    assert threads == set(starts)
    assert len(starts) == 1


def test_requests_that_await_do_not_hold_up_each_other(make: Make) -> None:
    here: list[str] = []
    all_here = asyncio.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        here.append("one more")
        if len(here) == 20:
            all_here.set()
        await all_here.wait()
        await PlainTextResponse("x")(scope, receive, send)

    bridge = make(app)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: get(bridge).read(), range(20)))

    assert answers == [b"x"] * 20


def test_sync_endpoints_share_their_worker_threads(make: Make) -> None:
    def show(request: Request) -> Response:
        return JSONResponse(threading.get_ident())

    bridge = make(Starlette(routes=[Route("/", show)]))

    assert len({get(bridge).json() for _ in range(10)}) == 1


def test_context_variables_reach_the_application(make: Make) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(variable.get())(scope, receive, send)

    async def read() -> str:
        return variable.get()

    bridge = make(app)
    token = variable.set("set by a WSGI middleware")

    assert get(bridge).read() == b"set by a WSGI middleware"
    assert bridge.run(read()) == "set by a WSGI middleware"
    variable.reset(token)


def test_coroutines_run_on_the_loop_of_the_requests(make: Make) -> None:
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(await where())(scope, receive, send)

    bridge = make(app)

    assert bridge.run(where()) == get(bridge).json() != threading.get_ident()


def test_an_exception_of_a_coroutine_is_raised_to_its_caller(make: Make) -> None:
    async def fail() -> None:
        raise TimeoutError("the reason")

    with pytest.raises(TimeoutError, match="the reason"):
        make(echo).run(fail())


def test_a_coroutine_run_from_the_loop_itself_is_refused_rather_than_waited_for(make: Make) -> None:
    async def nothing() -> None:
        return None

    async def outer() -> None:
        bridge.run(nothing())

    bridge = make(echo)

    with pytest.raises(RuntimeError, match="await the coroutine instead"):
        bridge.run(outer())


def test_threads_that_wait_are_released_when_the_bridge_closes(make: Make) -> None:
    here: list[str] = []

    async def forever() -> None:
        here.append("here")
        await asyncio.sleep(60)

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await forever()

    bridge = make(app)
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(lambda: get(bridge).json())
        ran = pool.submit(bridge.run, forever())
        eventually(lambda: len(here) == 2)
        bridge.close(timeout=0.1)

        assert asked.result(20)["detail"] in ("internal server error", "service unavailable")
        with pytest.raises(RuntimeError, match=r"stopped|cancelled"):
            ran.result(20)


def test_an_answer_that_the_server_takes_after_the_loop_ended_is_whole(make: Make) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("whole")(scope, receive, send)

    bridge = make(app)
    answer = get(bridge)
    taken = answer.next_piece()
    bridge.close(timeout=0)

    assert taken + answer.read() == b"whole"


def test_threads_that_wait_are_released_even_when_the_loop_is_stuck(make: Make) -> None:
    free = threading.Event()
    here: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        here.append("here")
        free.wait(60)

    bridge = make(app)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: get(bridge).json())
        eventually(lambda: here)
        bridge.close(timeout=0.1)

        assert answer.result(20) == {"detail": "service unavailable"}
        free.set()


def test_closing_waits_for_coroutines_that_were_handed_in(make: Make) -> None:
    here: list[str] = []

    async def work() -> str:
        here.append("here")
        await asyncio.sleep(0.2)
        return "done"

    bridge = make(echo)
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(bridge.run, work())
        eventually(lambda: here)
        bridge.close()

        assert ran.result(20) == "done"


def test_a_caller_that_is_interrupted_cancels_its_coroutine(make: Make) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    def interrupt(*_: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(SystemExit):
            make(echo).run(work())
    finally:
        signal.signal(signal.SIGUSR1, before)

    eventually(lambda: ended == ["cancelled"])


def test_tasks_that_an_application_left_behind_are_cancelled_at_the_end(make: Make) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("finally")

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["wsgi_environ"]["kept"].append(asyncio.create_task(forever()))
        await PlainTextResponse("x")(scope, receive, send)

    bridge = make(app)
    kept: list[object] = []
    get(bridge, kept=kept).read()
    bridge.close()

    assert ended == ["finally"]


def test_a_request_after_closing_starts_again(make: Make) -> None:
    bridge = make(echo)
    get(bridge).read()
    bridge.close()

    assert get(bridge).json()["length"] == 0


def test_closing_twice_or_before_a_request_does_nothing(make: Make) -> None:
    bridge = make(echo)
    bridge.close()
    get(bridge).read()
    bridge.close()
    bridge.close()


def test_a_closed_bridge_leaves_no_thread(make: Make) -> None:
    bridge = make(echo)
    get(bridge).read()
    bridge.close()

    eventually(lambda: not loop_threads())


# The lifespan


def test_the_lifespan_runs_once_around_all_requests_and_its_state_reaches_them(make: Make) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        events.append("up")
        yield {"database": "connected"}
        events.append("down")

    async def show(request: Request) -> Response:
        request.state.mine = 1
        return PlainTextResponse(request.state.database)

    bridge = make(Starlette(routes=[Route("/", show)], lifespan=lifespan))

    assert {get(bridge).read() for _ in range(3)} == {b"connected"}
    assert events == ["up"]
    bridge.close()
    assert events == ["up", "down"]


def test_the_lifespan_can_be_left_to_others(make: Make) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        events.append("up")
        yield

    bridge = make(Starlette(lifespan=lifespan), lifespan=False)

    assert get(bridge).read() == b"Not Found"
    assert events == []


def test_a_failing_startup_is_a_logged_500_and_tried_again(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[int] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("no database")
        yield

    async def show(request: Request) -> Response:
        return PlainTextResponse("up")

    bridge = make(Starlette(routes=[Route("/", show)], lifespan=lifespan))
    refused = [get(bridge), get(bridge)]

    assert [answer.json() for answer in refused] == [{"detail": "internal server error"}] * 2
    assert [answer.status for answer in refused] == [500, 500]
    assert get(bridge).read() == b"up"
    failures = [record.getMessage() for record in caplog.records if "did not start" in record.getMessage()]
    assert len(failures) == 2
    assert "ValueError: no database" in failures[0]


def test_a_coroutine_that_cannot_run_is_closed(make: Make) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no"})
        await receive()
        await receive()

    coroutine = asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="no"):
        make(app).run(coroutine)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


def test_a_startup_that_hangs_does_not_hold_up_closing(make: Make) -> None:
    here: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        here.append("here")
        await asyncio.sleep(60)

    bridge = make(app)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: get(bridge).json())
        eventually(lambda: here)
        bridge.close(timeout=0.1)

        assert answer.result(20) == {"detail": "service unavailable"}
    eventually(lambda: not loop_threads())


def test_a_shutdown_that_fails_or_hangs_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def app_that(leave: Callable[[], Coroutine[Any, Any, None]]) -> ASGIApp:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            await leave()

        return Starlette(lifespan=lifespan)

    async def fail() -> None:
        raise ValueError("the reason")

    async def hang() -> None:
        await asyncio.sleep(60)

    for leave in (fail, hang):
        bridge = make(app_that(leave))
        get(bridge).read()
        bridge.close(timeout=0.1)

    assert "ValueError: the reason" in caplog.text
    assert "took too long" in caplog.text


def test_a_lifespan_that_ends_early_leaves_the_application_running(
    make: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            raise ValueError("the reason")
        await PlainTextResponse("up")(scope, receive, send)

    assert get(make(app)).read() == b"up"
    eventually(lambda: "the reason" in caplog.text)


# Processes


def ask_in_child(bridge: Bridge) -> bytes:
    """Return what a forked child is answered."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            gc.collect()
            os.write(write_end, get(bridge).read())
        finally:
            os._exit(0)
    os.close(write_end)
    timer = threading.Timer(10, os.kill, (pid, signal.SIGKILL))
    timer.start()
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    timer.cancel()
    return answer


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("used", ["", "used"], ids=["made before", "used before"])
def test_a_forked_child_gets_a_loop_of_its_own(make: Make, used: str) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(os.getpid())(scope, receive, send)

    bridge = make(app)
    if used:
        get(bridge).read()

    assert int(ask_in_child(bridge)) not in (0, os.getpid())
    assert get(bridge).json() == os.getpid()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_end_what_its_parent_is_doing(make: Make, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    here: list[str] = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            try:
                here.append("here")
                await asyncio.sleep(60)
            finally:
                log.write_text("left")
        await PlainTextResponse("x")(scope, receive, send)

    bridge = make(app)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: get(bridge, "/wait").read())
        eventually(lambda: here)

        assert ask_in_child(bridge) == b"x"
        assert log.read_text() == ""
        bridge.close(timeout=0)


def test_a_loop_that_is_stopped_before_it_runs_ends_at_once() -> None:
    thread = LoopThread(None)
    thread.stop(0)
    thread.start()

    eventually(lambda: not loop_threads())


SCRIPT = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from lightapi.adapters.bridge import Bridge
from tests.apps.bridge_probe import probe
from tests.test_bridge import get

bridge = Bridge(probe, max_body_size=1)
"""


def run_script(script: str, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "BRIDGE_LOG": str(log), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def events(log: Path) -> list[str]:
    return [line.rsplit(" ", 1)[0] for line in log.read_text().splitlines()]


def test_the_end_of_the_process_finishes_background_tasks_and_the_lifespan(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run_script(SCRIPT + "get(bridge, '/background').read()\n", log)

    assert (done.returncode, done.stderr) == (0, "")
    assert events(log) == ["startup", "background done", "shutdown"]


def test_the_end_of_the_process_does_not_wait_for_stuck_executor_threads(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = """
pool = ThreadPoolExecutor(4)
for _ in range(4): pool.submit(lambda: get(bridge, '/sleep').read())
time.sleep(0.5)
"""
    done = run_script(SCRIPT + script, log)

    assert done.returncode == 0
    assert events(log) == ["startup", "shutdown"]


def test_threads_that_outlive_the_main_thread_are_still_answered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = """
def serve():
    get(bridge).read()
    served.set()
    threading.main_thread().join()
    print(get(bridge, '/cookies').json(), flush=True)

served = threading.Event()
threading.Thread(target=serve).start()
served.wait()
"""
    done = run_script(SCRIPT + script, log)

    may_start_threads = sys.version_info[:2] != (3, 12)
    expected = {"client": ["127.0.0.1", 0]} if may_start_threads else {"detail": "service unavailable"}
    assert done.stdout == f"{expected}\n", done.stderr
    assert events(log) == ["startup", "shutdown"] * (2 if may_start_threads else 1)


def test_gevent_is_told_from_its_patch_of_threads() -> None:
    script = (
        "from lightapi.adapters.loop import gevent_patched\n"
        "a = gevent_patched()\n"
        "import gevent.monkey\n"
        "b = gevent_patched()\n"
        "gevent.monkey.patch_all()\n"
        "print(a, b, gevent_patched())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)

    assert done.stdout.split() == ["False", "False", "True"]
    assert not gevent_patched()


GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import asyncio, time, gevent
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lightapi.adapters.bridge import Bridge
from tests.test_bridge import get

def plain(request):
    time.sleep(0.05)
    return PlainTextResponse("plain")

async def coroutine(request):
    await asyncio.sleep(0.05)
    return PlainTextResponse("coroutine")

def ask(number):
    answer = get(bridge, "/coroutine" if number % 2 else "/plain").read().decode()
    assert asyncio._get_running_loop() is None
    assert bridge.run(asyncio.sleep(0, "ran")) == "ran"
    return answer

bridge = Bridge(Starlette(routes=[Route("/plain", plain), Route("/coroutine", coroutine)]), max_body_size=1)
greenlets = [gevent.spawn(ask, number) for number in range(100)]
gevent.joinall(greenlets, timeout=15)
print(sorted({greenlet.value for greenlet in greenlets}))
"""


def test_greenlets_are_served_by_a_loop_that_none_of_them_sees(tmp_path: Path) -> None:
    done = run_script(GEVENT, tmp_path / "log")

    assert done.stdout == "['coroutine', 'plain']\n", done.stderr
    assert done.returncode == 0
