"""Every hook, as ``def`` and as ``async def``: what it may return, raise and call."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from lightapi import Field, RestEndpoint
from tests.support.hosts import Api, Client

ITEM = {"title": "t"}


class Plain(RestEndpoint):
    """Every hook as ``def``, each marking the answer and calling its base."""

    title: str = Field(min_length=1)

    def list(self, request: Request) -> Any:
        return marked(super().list(request), "list")

    def retrieve(self, request: Request, pk: Any) -> Any:
        return marked(super().retrieve(request, pk), "retrieve")

    def create(self, data: Any) -> Any:
        return marked(super().create(data), "create")

    def update(self, data: Any, pk: Any, partial: bool = False) -> Any:
        return marked(super().update(data, pk, partial), f"update partial={partial}")

    def destroy(self, request: Request, pk: Any) -> Any:
        return marked(super().destroy(request, pk), "destroy")

    def queryset(self, request: Request) -> Any:
        model = type(self)._model_class
        return select(model).where(model.title != "hidden")


class Async(RestEndpoint):
    """Every hook as ``async def``, each marking the answer and calling its base."""

    title: str = Field(min_length=1)

    async def list(self, request: Request) -> Any:
        return marked(await super().list(request), "list")

    async def retrieve(self, request: Request, pk: Any) -> Any:
        return marked(await super().retrieve(request, pk), "retrieve")

    async def create(self, data: Any) -> Any:
        return marked(await super().create(data), "create")

    async def update(self, data: Any, pk: Any, partial: bool = False) -> Any:
        return marked(await super().update(data, pk, partial), f"update partial={partial}")

    async def destroy(self, request: Request, pk: Any) -> Any:
        return marked(await super().destroy(request, pk), "destroy")

    async def queryset(self, request: Request) -> Any:
        await asyncio.sleep(0)
        model = type(self)._model_class
        return select(model).where(model.title != "hidden")


class PlainVerbs(RestEndpoint):
    """Every verb as ``def``, calling its base."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        return marked(super().get(request), "get")

    def post(self, request: Request) -> Any:
        return marked(super().post(request), "post")

    def put(self, request: Request) -> Any:
        return marked(super().put(request), "put")

    def patch(self, request: Request) -> Any:
        return marked(super().patch(request), "patch")

    def delete(self, request: Request) -> Any:
        return marked(super().delete(request), "delete")


class AsyncVerbs(RestEndpoint):
    """Every verb as ``async def``, calling its base."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        return marked(await super().get(request), "get")

    async def post(self, request: Request) -> Any:
        return marked(await super().post(request), "post")

    async def put(self, request: Request) -> Any:
        return marked(await super().put(request), "put")

    async def patch(self, request: Request) -> Any:
        return marked(await super().patch(request), "patch")

    async def delete(self, request: Request) -> Any:
        return marked(await super().delete(request), "delete")


def marked(response: Any, name: str) -> Any:
    assert isinstance(response, Response)
    response.headers["X-Hook"] = name
    return response


def _exercise(client: Client) -> dict[str, tuple[int, str | None]]:
    answers = {
        "create": client.post("/items", json=ITEM),
        "list": client.get("/items"),
        "retrieve": client.get("/items/1"),
        "put": client.put("/items/1", json={"title": "p", "version": 1}),
        "patch": client.patch("/items/1", json={"title": "q", "version": 2}),
        "destroy": client.delete("/items/1"),
        "retrieve missing": client.get("/items/1"),
        "patch missing": client.patch("/items/1", json={"title": "q", "version": 2}),
        "destroy missing": client.delete("/items/1"),
        "create invalid": client.post("/items", json={"title": ""}),
    }
    return {name: (each.status_code, each.headers.get("x-hook")) for name, each in answers.items()}


@pytest.mark.parametrize("endpoint", [Plain, Async], ids=["def", "async def"])
def test_each_crud_hook_is_called_and_its_base_answers(api: Api, endpoint: type[RestEndpoint]) -> None:
    assert _exercise(api({"/items": endpoint})) == {
        "create": (201, "create"),
        "list": (200, "list"),
        "retrieve": (200, "retrieve"),
        "put": (200, "update partial=False"),
        "patch": (200, "update partial=True"),
        "destroy": (204, "destroy"),
        "retrieve missing": (404, "retrieve"),
        "patch missing": (404, "update partial=True"),
        "destroy missing": (404, "destroy"),
        "create invalid": (422, "create"),
    }


@pytest.mark.parametrize("endpoint", [PlainVerbs, AsyncVerbs], ids=["def", "async def"])
def test_each_verb_is_called_and_its_base_answers(api: Api, endpoint: type[RestEndpoint]) -> None:
    assert _exercise(api({"/items": endpoint})) == {
        "create": (201, "post"),
        "list": (200, "get"),
        "retrieve": (200, "get"),
        "put": (200, "put"),
        "patch": (200, "patch"),
        "destroy": (204, "delete"),
        "retrieve missing": (404, "get"),
        "patch missing": (404, "patch"),
        "destroy missing": (404, "delete"),
        "create invalid": (422, "post"),
    }


@pytest.mark.parametrize("endpoint", [Plain, Async], ids=["def", "async def"])
def test_queryset_is_called_by_the_base_list(api: Api, endpoint: type[RestEndpoint]) -> None:
    client = api({"/items": endpoint})
    client.post("/items", json={"title": "hidden"})
    client.post("/items", json={"title": "shown"})

    assert [row["title"] for row in client.get("/items").json()["results"]] == ["shown"]


# what a hook may return


class Returns(RestEndpoint):
    """Answers whatever the test says."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        kind = request.query_params["kind"]
        if kind == "dict":
            return {"a": 1}
        if kind == "list":
            return [{"a": 1}, 2]
        if kind == "empty":
            return {}
        return PlainTextResponse("as it is", status_code=202, headers={"X-Own": "1"})

    async def post(self, request: Request) -> Any:
        return {"made": True}

    async def put(self, request: Request) -> Any:
        return [1]

    def delete(self, request: Request) -> Any:
        return JSONResponse({"gone": True}, status_code=200)


class TestReturns:
    """A Response is sent as it is; a dict or list becomes JSON."""

    @pytest.fixture
    def client(self, api: Api) -> Client:
        return api({"/items": Returns})

    @pytest.mark.parametrize(("kind", "body"), [("dict", b'{"a":1}'), ("list", b'[{"a":1},2]'), ("empty", b"{}")])
    def test_a_dict_or_list_is_200_json(self, client: Client, kind: str, body: bytes) -> None:
        response = client.get(f"/items?kind={kind}")

        assert (response.status_code, response.content) == (200, body)
        assert response.headers["content-type"] == "application/json"

    def test_a_dict_from_post_is_201(self, client: Client) -> None:
        response = client.post("/items", json=ITEM)

        assert (response.status_code, response.json()) == (201, {"made": True})

    def test_a_list_from_put_is_200(self, client: Client) -> None:
        response = client.put("/items/1", json=ITEM)

        assert (response.status_code, response.json()) == (200, [1])

    def test_a_response_is_sent_as_it_is(self, client: Client) -> None:
        response = client.get("/items?kind=response")

        assert (response.status_code, response.text) == (202, "as it is")
        assert response.headers["x-own"] == "1"
        assert client.delete("/items/1").json() == {"gone": True}


# what a hook is given


class Given(RestEndpoint):
    """Answers what it was given."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        return {"path_params": request.path_params, "is_request": isinstance(request, Request)}

    def update(self, data: Any, pk: Any, partial: bool = False) -> Any:
        return {"data": data, "pk": str(pk), "partial": partial}

    def create(self, data: Any) -> Any:
        return {"data": data}


class TestGiven:
    """Path parameters, the parsed body, and nothing unchecked."""

    @pytest.fixture
    def client(self, api: Api) -> Client:
        return api({"/items": Given})

    def test_path_params_hold_the_id_of_an_item(self, client: Client) -> None:
        assert client.get("/items/5").json() == {"path_params": {"id": "5"}, "is_request": True}

    def test_path_params_of_a_collection_are_empty(self, client: Client) -> None:
        assert client.get("/items").json() == {"path_params": {}, "is_request": True}

    def test_create_gets_the_json_object(self, client: Client) -> None:
        body = {"title": "", "extra": [1, {"a": None}]}

        assert client.post("/items", json=body).json() == {"data": body}

    @pytest.mark.parametrize(("verb", "partial"), [("PUT", False), ("PATCH", True)])
    def test_update_gets_the_json_object_the_key_and_whether_it_is_partial(
        self, client: Client, verb: str, partial: bool
    ) -> None:
        response = client.request(verb, "/items/5", json={"x": 1})

        assert response.json() == {"data": {"x": 1}, "pk": "5", "partial": partial}


# a bad body never reaches a hook


class Loads(RestEndpoint):
    """Parses the body itself, as the documentation does."""

    title: str = Field(min_length=1)

    async def post(self, request: Request) -> Any:
        return {"got": json.loads(await request.body())}

    async def put(self, request: Request) -> Any:
        return {"got": json.loads(await request.body())}

    async def patch(self, request: Request) -> Any:
        return {"got": json.loads(await request.body())}


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", None, 422),
        (b"{", None, 422),
        (b"[]", None, 422),
        (b'"x"', None, 422),
        (b'{"a": "\xff"}', None, 422),
        (b"[" * 100_000, None, 422),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", None, 422),
        (b"{}", "text/plain", 415),
        (b'{"a": "' + b"x" * 2**20 + b'"}', None, 413),
    ],
    ids=["empty", "cut", "list", "text", "no utf-8", "deep", "deep value", "type", "size"],
)
def test_a_bad_body_never_reaches_a_verb_override(
    api: Api, verb: str, content: bytes, media_type: str | None, status: int
) -> None:
    client = api({"/items": Loads})
    headers = {"Content-Type": media_type} if media_type else {}

    path = "/items" if verb == "POST" else "/items/1"
    response = client.request(verb, path, content=content, headers=headers)

    assert response.status_code == status


def test_a_verb_override_reads_the_body_it_was_sent(api: Api) -> None:
    client = api({"/items": Loads})

    assert client.post("/items", json={"a": [1]}).json() == {"got": {"a": [1]}}


# helpers


class Helpers(RestEndpoint):
    """The asynchronous helpers, called as documented."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        key = request.path_params.get("id")
        if key is None:
            return await self._list_async(request)
        return await self._retrieve_async(request, key)

    async def post(self, request: Request) -> Any:
        return await self._create_async(json.loads(await request.body()))

    async def put(self, request: Request) -> Any:
        return await self._update_async(await request.json(), request.path_params["id"])

    async def patch(self, request: Request) -> Any:
        data = await request.json()
        return await self._update_async(data, request.path_params["id"], partial=True)

    async def delete(self, request: Request) -> Any:
        return await self._destroy_async(request, request.path_params["id"])


class SyncHelpers(RestEndpoint):
    """The plain helpers, called from plain overrides."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        key = request.path_params.get("id")
        return self.list(request) if key is None else self.retrieve(request, key)

    def delete(self, request: Request) -> Any:
        return self.destroy(request, request.path_params["id"])


def test_the_async_helpers_do_what_the_verbs_do(api: Api) -> None:
    client = api({"/items": Helpers})

    assert [status for status, _ in _exercise(client).values()] == [
        *(201, 200, 200, 200, 200, 204),
        *(404, 404, 404, 422),
    ]


def test_the_async_helpers_answer_what_the_verbs_answer(api: Api) -> None:
    client = api({"/items": Helpers})

    made = client.post("/items", json=ITEM)

    assert made.headers["location"] == "/items/1"
    assert client.get("/items/1").content == made.content
    assert client.get("/items").content == b'{"results":[' + made.content + b"]}"
    stale = client.patch("/items/1", json={"title": "x", "version": 9})
    assert (stale.status_code, stale.json()) == (409, {"detail": "version conflict"})


def test_the_plain_helpers_work_in_plain_overrides(api: Api) -> None:
    client = api({"/items": SyncHelpers})
    made = client.post("/items", json=ITEM)

    assert client.get("/items/1").content == made.content
    assert client.get("/items").content == b'{"results":[' + made.content + b"]}"
    assert client.delete("/items/1").status_code == 204
    assert client.get("/items/1").status_code == 404


class OwnResponses(RestEndpoint):
    """Asks for two failures and changes one."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        first = await self._retrieve_async(request, 404)
        second = await self._retrieve_async(request, 404)
        invalid = await self._create_async({})
        first.headers["X-Mine"] = "1"
        return {
            "statuses": [first.status_code, second.status_code, invalid.status_code],
            "body": json.loads(first.body),
            "shared": first is second or "x-mine" in second.headers,
        }


def test_a_helper_answers_failures_as_responses_of_their_own(api: Api) -> None:
    assert api({"/items": OwnResponses}).get("/items").json() == {
        "statuses": [404, 404, 422],
        "body": {"detail": "not found"},
        "shared": False,
    }


class Gathers(RestEndpoint):
    """Runs two helpers at once."""

    title: str = Field(min_length=1)

    async def post(self, request: Request) -> Any:
        data = await request.json()
        first, second = await asyncio.gather(
            self._create_async({"title": data["first"]}),
            self._create_async({"title": data["second"]}),
        )
        return {"ids": sorted(json.loads(each.body)["id"] for each in (first, second))}


def test_two_helpers_may_be_gathered(api: Api) -> None:
    client = api({"/items": Gathers})

    response = client.post("/items", json={"first": "a", "second": "b"})

    assert (response.status_code, response.json()) == (201, {"ids": [1, 2]})
    assert sorted(row["title"] for row in client.get("/items").json()["results"]) == ["a", "b"]


# transactions


class FailsAfterWriting(RestEndpoint):
    """Writes, then fails as the test says."""

    title: str = Field(min_length=1)

    def create(self, data: Any) -> Any:
        made = super().create(data)
        if data["title"] == "raise":
            raise RuntimeError("after writing")
        if data["title"] == "refuse":
            return JSONResponse({"detail": "no"}, status_code=400)
        return made


class FailsAfterWritingAsync(RestEndpoint):
    """Writes, then fails as the test says, asynchronously."""

    title: str = Field(min_length=1)

    async def post(self, request: Request) -> Any:
        data = await request.json()
        made = await self._create_async(data)
        if data["title"] == "raise":
            raise RuntimeError("after writing")
        if data["title"] == "refuse":
            return JSONResponse({"detail": "no"}, status_code=400)
        return made


@pytest.mark.parametrize("endpoint", [FailsAfterWriting, FailsAfterWritingAsync], ids=["def", "async def"])
class TestTransactions:
    """A request is one transaction: it commits when the answer is a success."""

    def test_an_exception_rolls_back(
        self, api: Api, endpoint: type[RestEndpoint], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        client = api({"/items": endpoint})

        response = client.post("/items", json={"title": "raise"})

        assert response.status_code == 500
        assert response.json() == {"detail": "internal server error"}
        assert client.get("/items").json() == {"results": []}

    def test_an_answer_of_400_and_above_rolls_back(self, api: Api, endpoint: type[RestEndpoint]) -> None:
        client = api({"/items": endpoint})

        response = client.post("/items", json={"title": "refuse"})

        assert (response.status_code, response.json()) == (400, {"detail": "no"})
        assert client.get("/items").json() == {"results": []}

    def test_a_success_commits(self, api: Api, endpoint: type[RestEndpoint]) -> None:
        client = api({"/items": endpoint})

        response = client.post("/items", json={"title": "keep"})

        assert response.status_code == 201
        assert client.get("/items/1").content == response.content


class TwoWrites(RestEndpoint):
    """Two writes, one transaction."""

    title: str = Field(min_length=1)

    def post(self, request: Request) -> Any:
        self.create({"title": "one"})
        return self.create({"title": ""})


def test_all_writes_of_a_request_stand_or_fall_together(api: Api) -> None:
    client = api({"/items": TwoWrites})

    assert client.post("/items", json=ITEM).status_code == 422
    assert client.get("/items").json() == {"results": []}


class Stateful(RestEndpoint):
    """Keeps something on itself while it answers."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        before = getattr(self, "seen", 0)
        self.seen = before + 1
        return {"before": before}


def test_each_request_has_an_instance_of_its_own(api: Api) -> None:
    client = api({"/items": Stateful})

    assert [client.get("/items").json()["before"] for _ in range(2)] == [0, 0]


class Owned(RestEndpoint):
    """Hooks that are not given the request, and one that is async."""

    title: str

    def create(self, data: Any) -> Any:
        return super().create({"title": f"{data['title']} by {self.request.headers['x-name']}"})

    async def update(self, data: Any, pk: Any, partial: bool = False) -> Any:
        return JSONResponse({"verb": self.request.method})


def test_the_request_is_at_hand_in_every_hook(api: Api) -> None:
    client = api({"/owned": Owned})

    made = client.post("/owned", json=ITEM, headers={"x-name": "ann"})

    assert made.json()["title"] == "t by ann"
    assert client.patch("/owned/1", json={}).json() == {"verb": "PATCH"}
    with pytest.raises(RuntimeError, match="request called outside request handler"):
        Owned(title="x").request  # noqa: B018


class Asked(RestEndpoint):
    """Has a column of that name."""

    request: str  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]


def test_a_field_may_be_called_request(api: Api) -> None:
    client = api({"/asked": Asked})

    assert client.post("/asked", json={"request": "please"}).json()["request"] == "please"
    assert client.get("/asked").json()["results"][0]["request"] == "please"
    assert Asked(request="x").request == "x"
