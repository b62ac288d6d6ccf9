# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""health_info through its real entry point, against real registries."""

from __future__ import annotations

import json
import re
import socket

import pytest

from ansible_collections.homeport.registry.plugins.modules import health_info

from .conftest import READER, WRITER
from .gate import Gate
from .token_service import TokenService

USERS = [
    {"name": READER[0], "password": READER[1], "role": "reader"},
    {"name": WRITER[0], "password": WRITER[1], "role": "writer"},
]


@pytest.fixture
def health(run_module):
    def run(url, **options):
        result = run_module(health_info, url=url, **{"timeout": 5} | options)
        for secret in (READER[1], WRITER[1]):
            assert secret not in json.dumps(result, ensure_ascii=False)
        return result

    return run


@pytest.fixture
def pair(start):
    """A reader and a writer on one store behind a gate, as the collection installs them."""
    reader, writer = start(users=[READER, WRITER], read_only=True), start(users=[WRITER])
    gate = Gate(reader.port, writer.port)
    yield gate
    gate.stop()


def rights(result):
    return {user["name"]: (user["read"]["status"], user["write"]["status"]) for user in result["users"]}


def stored(tmp_path, pattern):
    return sorted(path for path in (tmp_path / "store").rglob(pattern) if path.is_file())


def test_reader_and_writer_are_what_they_say(health, pair, tmp_path):
    result = health(pair.url, users=USERS, round_trip=True)
    assert result["problems"] == []
    assert result["healthy"] is True
    assert result["changed"] is False
    endpoint = {"url": pair.url, "reachable": True, "status": 401, "api_version": "registry/2.0"}
    assert {key: result["endpoint"][key] for key in endpoint} == endpoint
    assert result["endpoint"]["seconds"] > 0
    assert result["challenge"] == {"scheme": "basic", "realm": "Test Registry", "service": ""}
    assert result["tls"] is None
    assert result["anonymous"]["ok"]
    assert (result["anonymous"]["read"]["status"], result["anonymous"]["write"]["status"]) == (401, 401)
    # A repository that does not exist is readable; the reader's push is refused by the writer, which does not know it.
    assert rights(result) == {"reader": (404, 401), "writer": (404, 202)}
    assert result["requests"] == len(pair.seen)

    journey = result["round_trip"]
    assert journey["skipped"] == ""
    assert journey["removed"] is True
    assert journey["repository"] == "homeport/health"
    assert re.fullmatch(r"health-[0-9a-f]{16}", journey["tag"])
    assert [(step["step"], step["user"], step["ok"]) for step in journey["steps"]] == [
        ("push config", "writer", True),
        ("push layer", "writer", True),
        ("push manifest", "writer", True),
        ("pull manifest by tag", "reader", True),
        ("pull manifest by digest", "reader", True),
        ("pull config", "reader", True),
        ("pull layer", "reader", True),
        ("remove manifest", "writer", True),
        ("remove layer", "writer", True),
        ("remove config", "writer", True),
        ("find nothing left", "reader", True),
    ]
    assert [step["statuses"] for step in journey["steps"]] == [
        [202, 201],
        [202, 201],
        [201],
        [200],
        [200],
        [200],
        [200],
        [202],
        [202],
        [202],
        [404],
    ]
    pushed = [step for step in journey["steps"] if step["step"].startswith("push")]
    assert [step["size"] for step in pushed][1] == 4096
    assert pushed[2]["digest"] == journey["digest"]
    assert len({step["digest"] for step in pushed}) == 3
    # Nothing refers to the image any more; a garbage collection finds only the three blobs.
    assert stored(tmp_path, "link") == []
    assert len(stored(tmp_path, "data")) == 3


def test_check_mode_sends_no_write(health, pair, tmp_path):
    result = health(pair.url, users=USERS, round_trip=True, check=True)
    assert result["healthy"] is True
    assert {method for method, _path in pair.seen} == {"GET"}
    assert [user["write"]["skipped"] for user in result["users"]] == ["check mode"] * 2
    assert [user["write"]["allowed"] for user in result["users"]] == [None, None]
    assert [user["ok"] for user in result["users"]] == [True, True]
    assert result["round_trip"] == {"skipped": "check mode"}
    assert not (tmp_path / "store").exists()


def test_a_writer_that_is_away_is_told_apart_from_a_refusal(health, pair):
    pair.writer = None
    result = health(pair.url, users=USERS, round_trip=True)
    assert result["healthy"] is False
    # Reading goes on.
    assert [user["read"]["allowed"] for user in result["users"]] == [True, True]
    assert [user["write"]["allowed"] for user in result["users"]] == [None, None]
    assert result["users"][1]["ok"] is False
    problem = next(problem for problem in result["problems"] if "user writer" in problem["tried"])
    assert "writing to homeport/health" in problem["tried"]
    assert "503, UNAVAILABLE the writer is away, Retry-After 30" in problem["got"]
    assert "maintenance or garbage collection" in problem["remedy"]
    journey = result["round_trip"]
    assert [(step["step"], step["statuses"]) for step in journey["steps"]] == [("push config", [503])]
    assert journey["removed"] is True
    assert result["changed"] is False


def test_one_registry_for_everybody_gives_readers_too_much(health, start):
    result = health(start(users=[READER, WRITER]).url, users=USERS)
    assert rights(result) == {"reader": (404, 202), "writer": (404, 202)}
    assert [(problem["tried"], problem["got"]) for problem in result["problems"]] == [
        ("find writing to homeport/health refused to user reader", "status 202")
    ]
    assert [user["ok"] for user in result["users"]] == [False, True]
    assert result["round_trip"] is None


def test_wrong_password(health, pair):
    users = [USERS[0] | {"password": "not this one"}, USERS[1]]
    result = health(pair.url, users=users, fail_on_unhealthy=True)
    assert result["failed"]
    assert "find reading from homeport/health allowed to user reader" in result["msg"]
    assert result["users"][0]["read"]["status"] == 401
    assert result["users"][1]["ok"] is True


def test_an_open_registry_is_a_problem_unless_it_is_meant_to_be(health, start):
    url = start().url
    result = health(url)
    assert [problem["tried"] for problem in result["problems"]] == [
        "find reading from homeport/health refused to a client without a password",
        "find writing to homeport/health refused to a client without a password",
    ]
    assert result["challenge"] is None
    result = health(url, anonymous="writer", round_trip=True)
    assert result["problems"] == []
    assert {step["user"] for step in result["round_trip"]["steps"]} == {""}


def test_a_read_only_registry(health, start):
    result = health(start(users=[READER, WRITER], read_only=True).url, users=USERS)
    assert [user["write"]["status"] for user in result["users"]] == [405, 405]
    assert all("storage.maintenance.readonly" in problem["remedy"] for problem in result["problems"])


def test_an_image_that_cannot_be_removed_is_a_change(health, start, tmp_path):
    result = health(start(users=[WRITER], deletes=False).url, users=USERS[1:], round_trip=True)
    assert result["changed"] is True
    assert result["round_trip"]["removed"] is False
    steps = {step["step"]: (step["ok"], step["statuses"]) for step in result["round_trip"]["steps"]}
    assert steps["pull layer"] == (True, [200])
    assert [steps[name] for name in ("remove manifest", "remove layer", "remove config")] == [(False, [405])] * 3
    assert steps["find nothing left"] == (False, [200])
    assert "storage.delete.enabled" in result["problems"][0]["remedy"]
    assert stored(tmp_path, "link") != []


def test_a_store_that_cannot_be_written(health, start, tmp_path):
    server = start(users=[WRITER])
    (tmp_path / "store").mkdir(exist_ok=True)
    (tmp_path / "store" / "docker").write_text("in the way")
    result = health(server.url, users=USERS[1:])
    assert result["healthy"] is False
    assert any("status 500" in problem["got"] for problem in result["problems"])


def test_a_damaged_pull_is_noticed_and_cleaned_up(health, pair, tmp_path):
    pair.alter = lambda path, content: (
        b"x" * len(content) if "/blobs/sha256" in path and len(content) == 4096 else content
    )
    result = health(pair.url, users=USERS[1:], round_trip=True)
    steps = {step["step"]: step["ok"] for step in result["round_trip"]["steps"]}
    assert steps["pull manifest by digest"] is True
    assert steps["pull layer"] is False
    assert steps["find nothing left"] is True
    assert "Do not use this content" in result["problems"][0]["remedy"]
    assert result["round_trip"]["removed"] is True
    assert stored(tmp_path, "link") == []


def test_something_else_listens(health):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        result = health(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3)
    assert result["problems"][0]["got"] == "no answer in time"
    assert result["endpoint"]["reachable"] is False


def test_an_address_that_is_no_registry(health, start):
    result = health(start().url + "/elsewhere")
    assert result["endpoint"]["reachable"] is True
    assert result["endpoint"]["status"] == 404
    assert "Check the address" in result["problems"][0]["remedy"]
    assert result["users"] == []


def test_certificates_are_evidence(health, start, authority):
    server = start(users=[READER, WRITER], tls=authority.issue(days=90))
    result = health(server.url, ca_cert=str(authority.ca_file), users=USERS[1:])
    assert result["problems"] == []
    tls = result["tls"]
    assert (tls["trusted"], tls["problem"], tls["days_left"]) == (True, "", 89)
    assert tls["protocol"] == "TLSv1.3"
    assert [(one["subject"], one["issuer"]) for one in tls["chain"]] == [
        ("CN=127.0.0.1", "CN=Test CA"),
        ("CN=Test CA", "CN=Test CA"),
    ]
    assert tls["chain"][0]["names"] == ["127.0.0.1"]
    assert re.fullmatch(r"[0-9a-f]{64}", tls["chain"][0]["sha256"])
    result = health(server.url, ca_cert_content=authority.ca_file.read_text(), certificate_days=100)
    assert [problem["got"][:33] for problem in result["problems"]] == ["that of CN=127.0.0.1 expires in 8"]
    assert result["anonymous"]["ok"] is True


@pytest.mark.parametrize(
    ("name", "days", "with_ca", "saying"),
    [
        ("127.0.0.1", 90, False, "unable to get local issuer|self-signed certificate"),
        ("127.0.0.1", -1, True, "certificate has expired"),
        ("registry.example.com", 90, True, "127.0.0.1.*for registry.example.com"),
    ],
)
def test_certificates_that_are_not_trusted(health, start, authority, name, days, with_ca, saying):
    server = start(tls=authority.issue(name, days=days, begins=-2))
    options = {"ca_cert": str(authority.ca_file)} if with_ca else {}
    result = health(server.url, **options)
    assert re.search(saying, result["problems"][0]["got"])
    # It is said once; nothing else is tried.
    assert len(result["problems"]) == 1
    assert result["tls"]["trusted"] is False
    # What the server showed is there all the same.
    assert result["tls"]["chain"][0]["names"] == [name]
    assert result["endpoint"]["reachable"] is False
    # No request was sent over a connection that is not trusted.
    assert result["requests"] == 0
    blind = health(server.url, validate_certs=False, anonymous="writer")
    assert blind["problems"] == []
    assert blind["tls"]["trusted"] is False
    assert blind["tls"]["days_left"] == days - 1
    assert blind["endpoint"]["status"] == 200


def test_plain_http_where_tls_is_asked_for(health, start):
    result = health(start().url.replace("http:", "https:"))
    assert "begin the address with http://" in result["problems"][0]["remedy"]


def test_rights_by_token(health, start, tmp_path):
    grants: dict[str | None, set[str]] = {READER[0]: {"pull"}, WRITER[0]: {"pull", "push", "delete"}, None: set()}
    tokens = TokenService(tmp_path, dict([READER, WRITER]), grants)
    try:
        result = health(start(auth=tokens.section()).url, users=USERS, round_trip=True)
    finally:
        tokens.stop()
    assert result["problems"] == []
    assert result["challenge"] == {"scheme": "bearer", "realm": tokens.realm, "service": "test-registry"}
    assert rights(result) == {"reader": (404, 401), "writer": (404, 202)}
    assert result["round_trip"]["removed"] is True


def test_an_upload_that_cannot_be_cancelled_is_a_problem(health, pair):
    pair.refuse = "DELETE"
    result = health(pair.url, users=USERS)
    assert rights(result) == {"reader": (404, 401), "writer": (404, 202)}
    assert [user["ok"] for user in result["users"]] == [True, True]
    assert [problem["tried"] for problem in result["problems"]] == ["cancel an upload to homeport/health"]
