"""Who may use the API: any token on this machine, the session's own from elsewhere, no page of a browser."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .api import Api, session


def ask(api: Api, **headers: str) -> tuple[int, int | None]:
    """The status, and the code of the error, of a call with exactly these headers."""
    api.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.get("/queues")
    return answer.status, None if answer.envelope["success"] else answer.error["code"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "bearer anything at all"},
        {"X_Auth_Email": "ada@example.com", "X_Auth_Key": "key"},
    ],
)
def test_anything_goes_on_this_machine(api: Api, headers: dict[str, str]) -> None:
    assert ask(api, **headers) == (200, None)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 9106),
        ({"X_Auth_Key": "key"}, 9106),
        ({"X_Auth_Email": "ada@example.com"}, 9106),
        ({"Authorization": "Basic eDp5"}, 6003),
        ({"Authorization": "Bearer"}, 6003),
        ({"Authorization": "Bearer  "}, 6003),
        ({"Authorization": ""}, 6003),
    ],
)
def test_but_not_nothing(api: Api, headers: dict[str, str], code: int) -> None:
    assert ask(api, **headers) == (400, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_no_page_of_another_site(api: Api, headers: dict[str, str]) -> None:
    assert ask(api, Authorization="Bearer x", **headers) == (403, 10000)
    assert api.call("GET", "/client/v4/openapi.json", headers=headers).status == 403


def test_no_cors(api: Api) -> None:
    headers = {"Origin": "http://localhost:3000", "Authorization": "Bearer x"}
    for method, status in (("GET", 200), ("OPTIONS", 405)):
        reply = api.server.request(method, "/client/v4/accounts/a/queues", headers=headers)
        assert reply.status == status
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def own_address() -> str:
    """An address of this machine that is not the loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))  # a datagram socket sends nothing by this
            address = probe.getsockname()[0]
        except OSError:
            address = ""
    if not address or address.startswith("127."):
        pytest.skip("this machine has the loopback address only")
    return address


def test_another_machine_needs_the_token_of_the_session(tmp_path: Path) -> None:
    address = own_address()
    with session(tmp_path / "project", "--ip", address, env={"WPY_API_TOKEN": "s3cret"}) as api:
        assert ask(api, Authorization="Bearer x") == (403, 10000)
        assert ask(api, Authorization="Bearer s3cre") == (403, 10000)
        assert ask(api, Authorization="Bearer s3cret") == (200, None)
        assert ask(api, X_Auth_Email="a@example.com", X_Auth_Key="s3cret") == (200, None)
        assert ask(api, Authorization="Bearer s3cret", Host="workstation.example") == (200, None)


def test_another_machine_gets_nowhere_without_a_token(tmp_path: Path) -> None:
    address = own_address()
    with session(tmp_path / "project", "--ip", address) as api:
        assert ask(api, Authorization="Bearer x") == (403, 10000)
        assert ask(api, Authorization="Bearer ") == (400, 6003)
        assert "WPY_API_TOKEN" in api.server.output


def test_who_and_where_109(api: Api) -> None:
    """109, in part: what clients ask to find their account."""
    api.headers = {"Authorization": "Bearer x"}
    (membership,) = api.get("/client/v4/memberships?page=1").result
    (account,) = api.get("/client/v4/accounts").result
    assert membership["account"]["id"] == account["id"]
    assert api.get(f"/client/v4/accounts/{account['id']}").result["name"] == account["name"]
    assert {q["queue_name"] for q in api.get(f"/client/v4/accounts/{account['id']}/queues").result} == {"jobs"}
    assert {q["queue_name"] for q in api.get("/client/v4/accounts/any-other/queues").result} == {"jobs"}
    assert api.get("/client/v4/user").result["email"]
    assert api.get("/client/v4/user/tokens/verify").result["status"] == "active"
    assert api.get("/workers/services/app").result["default_environment"]["environment"] == "production"
    assert api.get("/workers/services/nobody").error["code"] == 10090
    api.headers = {"X-Auth-Email": "ada@example.com", "X-Auth-Key": "k"}
    assert api.get("/client/v4/user").result["email"] == "ada@example.com"
