import hashlib
import re
import subprocess
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from model.types import InputError
from service.app import Amends, served
from service.keys import holder, parse_keys
from service.middleware import SECURITY_HEADERS, ApiKeys
from service.serve import environment
from service.settings import Settings
from tests.fakes import fake_scorer

DOCS = (Path(__file__).parents[2] / "docs/http.md").read_text("utf-8")
HASH = hashlib.sha256(b"letmein").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
BEARER = {"Authorization": "Bearer letmein"}


@pytest.fixture(autouse=True)
def _no_metrics(monkeypatch):
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')


def client_of() -> TestClient:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

    return TestClient(served(Fake).to_asgi(), raise_server_exceptions=False)


def error_of(response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return response.json()["error"]


def test_without_keys_everybody_may_call():
    with client_of() as client:
        assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": "Bearer"}, "missing_key"),
        ({"Authorization": "Basic letmein"}, "missing_key"),
        ({"Authorization": "Bearer wrong"}, "unknown_key"),
        ({"Authorization": f"Bearer {HASH}"}, "unknown_key"),
        ({"Authorization": b"Bearer l\xe9tmein"}, "unknown_key"),
    ],
)
def test_strangers_get_401(monkeypatch, headers, code):
    monkeypatch.setenv("AMENDS_API_KEYS", f"crm:read:{HASH}")
    with client_of() as client:
        for response in (
            client.post("/v1/sentiment", json={"texts": ["great"]}, headers=headers),
            client.get("/v1/model", headers=headers),
            client.get("/no/such/path", headers=headers),
        ):
            assert error_of(response, 401)["code"] == code
            assert response.headers["www-authenticate"] == "Bearer"
            assert HASH not in response.text


def test_a_known_key_opens_and_probes_stay_open(monkeypatch):
    monkeypatch.setenv("AMENDS_API_KEYS", f"other:write:{OTHER},crm:read:{HASH.upper()}")
    with client_of() as client:
        assert client.post("/v1/sentiment", json={"texts": ["great"]}, headers=BEARER).status_code == 200
        assert client.get("/v1/model", headers={"Authorization": "bearer other"}).status_code == 200
        for path in ("/livez", "/readyz", "/docs", "/docs.json"):
            assert client.get(path).status_code == 200


def test_metrics_follow_the_setting_and_writes_need_a_write_key():
    async def fine(_: object) -> PlainTextResponse:
        return PlainTextResponse("fine")

    keys = parse_keys(f"crm:read:{HASH}\nadmin:write:{OTHER}", "keys")
    for metrics_open in (True, False):
        guard = Middleware(ApiKeys, keys=keys, metrics_open=metrics_open, writes=frozenset({"/stored"}))
        app = Starlette(middleware=[guard])
        for path in ("/metrics", "/stored", "/stored/1", "/storedness", "/livez"):
            app.add_route(path, fine, methods=["GET", "POST", "DELETE"])
        client = TestClient(app)
        assert client.get("/metrics").status_code == (200 if metrics_open else 401)
        assert client.get("/metrics", headers=BEARER).status_code == 200
        assert client.get("/livez").status_code == 200
        for method, path in (("POST", "/stored"), ("DELETE", "/stored/1"), ("POST", "/stored/1")):
            assert error_of(client.request(method, path, headers=BEARER), 403)["code"] == "read_only_key"
            assert client.request(method, path, headers={"Authorization": "Bearer other"}).status_code == 200
        for method, path in (("GET", "/stored"), ("HEAD", "/stored/1"), ("POST", "/storedness")):
            assert client.request(method, path, headers=BEARER).status_code == 200


def test_every_answer_has_the_security_headers(monkeypatch):
    monkeypatch.setenv("AMENDS_API_KEYS", f"crm:read:{HASH}")
    with client_of() as client:
        client.app.add_route("/broken", lambda _: 1 / 0)
        answers = [
            client.get("/v1/model", headers=BEARER),
            client.get("/v1/model"),
            client.get("/none", headers=BEARER),
            client.get("/broken", headers=BEARER),
            client.post("/v1/score", json={}, headers=BEARER),
            client.get("/livez"),
            client.get("/docs"),
        ]
    assert [a.status_code for a in answers] == [200, 401, 404, 500, 422, 200, 200]
    for answer in answers:
        assert {name for name in SECURITY_HEADERS if name not in answer.headers} == set()
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_of_other_origins_call_where_they_are_named(monkeypatch):
    ask = {"Origin": "https://desk.example", "Access-Control-Request-Method": "POST"}
    with client_of() as client:
        assert "access-control-allow-origin" not in client.get("/v1/model", headers=ask).headers
    monkeypatch.setenv("AMENDS_CORS_ORIGINS", "https://desk.example/, https://other.example")
    monkeypatch.setenv("AMENDS_API_KEYS", f"crm:read:{HASH}")
    with client_of() as client:
        before = client.options("/v1/score", headers={**ask, "Access-Control-Request-Headers": "authorization"})
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, "https://desk.example")
        for headers in (ask, {**ask, **BEARER}):
            answer = client.get("/v1/model", headers=headers)
            assert answer.headers["access-control-allow-origin"] == "https://desk.example"
        stranger = client.get("/v1/model", headers={**BEARER, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    "text",
    ["", "# only a note", "letmein", f"crm:admin:{HASH}", f":read:{HASH}", "crm:read:secret", f"a:read:{HASH}:x"],
)
def test_keys_that_can_not_be_used_end_the_start_and_are_not_repeated(tmp_path, text):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError) as caught:
        Settings.from_env({"AMENDS_API_KEYS_FILE": str(tmp_path / "keys")})
    assert (caught.value.code, caught.value.field) == ("bad_keys", "AMENDS_API_KEYS_FILE")
    for secret in ("letmein", "secret", HASH):
        assert secret not in f"{caught.value} {caught.value.got}"


def test_a_file_that_is_missing_ends_the_start(tmp_path):
    with pytest.raises(InputError, match="can't be read"):
        Settings.from_env({"AMENDS_API_KEYS_FILE": str(tmp_path / "none")})


def test_a_name_counts_once():
    with pytest.raises(InputError, match="there twice"):
        parse_keys(f"crm:read:{HASH}\ncrm:write:{OTHER}", "keys")


def test_file_and_variable_count_together(tmp_path):
    (tmp_path / "keys").write_text(f"# made in May, by hand\r\ncrm:read:{HASH}\r\n")
    env = {"AMENDS_API_KEYS_FILE": str(tmp_path / "keys"), "AMENDS_API_KEYS": f"admin:write:{OTHER}"}
    assert {key.name for key in Settings.from_env(env).keys} == {"crm", "admin"}
    assert HASH not in repr(Settings.from_env({"AMENDS_API_KEYS": f"admin:write:{HASH}"}))


def test_the_file_is_found_after_the_working_directory_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = environment({"AMENDS_API_KEYS_FILE": "keys", "XDG_CACHE_HOME": str(tmp_path)}, 3000, 1)
    assert env["AMENDS_API_KEYS_FILE"] == str(tmp_path / "keys")


@pytest.mark.parametrize("origins", ["desk.example", "https://desk.example/page", "https://*.example"])
def test_what_is_no_origin_ends_the_start(origins):
    with pytest.raises(InputError) as caught:
        Settings.from_env({"AMENDS_CORS_ORIGINS": origins})
    assert caught.value.field == "AMENDS_CORS_ORIGINS"


def test_the_documented_line_makes_a_key():
    (line,) = re.findall(r"^key=.*$", DOCS, re.MULTILINE)
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    (key,) = parse_keys(run.stdout, "keys")
    assert holder([key], run.stderr.strip()) == key
    assert holder([key], "wrong") is None
