"""Who may call `mirror serve`, and as whom: bearer tokens, API keys, a trusted front end."""

import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from mirror_graph import ConfigurationError, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings, read_keys
from mirror_graph.serve.tokens import TokenRefusedError, TokenSettings, TokenVerifier
from tests.serving import client_of

SECRET = "a secret of at least sixty-four bytes, so that HS512 may use it, too"
KEY = "sk-0123456789abcdefghij"
HEADER = "X-OpenWebUI-User-Id"
BY_SECRET = TokenSettings("mirror", secret=SECRET, issuer="https://login.example")


def claims(**changes: object) -> dict[str, Any]:
    usual = {"sub": "ana", "aud": "mirror", "iss": "https://login.example", "exp": int(time.time()) + 600}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


async def caller(settings: ServeSettings, **headers: str) -> str | int:
    """Return whom the memory API takes a caller for, or the status of the refusal."""
    async with open_mirror() as mirror, client_of(create_app(mirror, settings=settings), **headers) as client:
        answer = await client.get("/v1/me/export")
    return str(answer.json()["user"]) if answer.status_code == 200 else answer.status_code


async def test_a_token_is_its_subjects() -> None:
    assert await TokenVerifier(BY_SECRET).subject(jwt.encode(claims(), SECRET)) == "ana"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 501},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"nbf": 4_000_000_000},
    ],
)
async def test_a_token_for_others_or_of_another_time_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(TokenRefusedError):
        await TokenVerifier(BY_SECRET).subject(jwt.encode(claims(**changes), SECRET))


@pytest.mark.parametrize(("secret", "algorithm"), [("b" * 64, "HS256"), (SECRET, "HS512"), ("", "none")])
async def test_a_token_with_another_key_or_algorithm_is_refused(secret: str, algorithm: str) -> None:
    with pytest.raises(TokenRefusedError):
        await TokenVerifier(BY_SECRET).subject(jwt.encode(claims(), secret, algorithm=algorithm))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", KEY, "é.é.é"])
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenRefusedError):
        await TokenVerifier(BY_SECRET).subject(token)


@dataclass
class Issuer:
    """Who signs: its keys by id, served as a JWKS at `url`."""

    url: str
    keys: dict[str, rsa.RSAPrivateKey]
    fetches: int = 0
    is_up: bool = True

    def token(self, kid: str, **changes: object) -> str:
        return jwt.encode(claims(**changes), self.keys[kid], algorithm="RS256", headers={"kid": kid})


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.fetches += 1
            self.send_response(200 if found.is_up else 503)
            self.end_headers()
            keys = [
                {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
                for kid, key in found.keys.items()
            ]
            self.wfile.write(json.dumps({"keys": keys}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Issuer(f"http://127.0.0.1:{server.server_port}/keys", {"one": new_key()})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


async def test_an_issuers_token_is_checked_with_its_published_key(issuer: Issuer) -> None:
    verifier = TokenVerifier(TokenSettings("mirror", keys_url=issuer.url))
    assert [await verifier.subject(issuer.token("one", sub=sub)) for sub in ("ana", "ben")] == ["ana", "ben"]
    assert issuer.fetches == 1


async def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    public = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    signed = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims()))
    signature = urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    token = f"{signed.decode()}.{signature.decode()}"  # by hand: PyJWT refuses to sign this
    with pytest.raises(TokenRefusedError):
        await TokenVerifier(TokenSettings("mirror", keys_url=issuer.url)).subject(token)


async def test_another_issuers_key_of_the_same_id_is_refused(issuer: Issuer) -> None:
    verifier = TokenVerifier(TokenSettings("mirror", keys_url=issuer.url))
    await verifier.subject(issuer.token("one"))
    issuer.keys["one"] = new_key()
    with pytest.raises(TokenRefusedError):
        await verifier.subject(issuer.token("one"))


async def test_unknown_key_ids_do_not_make_the_server_fetch_without_end(issuer: Issuer) -> None:
    verifier = TokenVerifier(TokenSettings("mirror", keys_url=issuer.url))
    for number in range(20):
        token = jwt.encode(claims(), issuer.keys["one"], algorithm="RS256", headers={"kid": f"unknown {number}"})
        with pytest.raises(TokenRefusedError):
            await verifier.subject(token)
    assert issuer.fetches <= 2


async def test_an_issuer_that_is_down_is_no_refusal(issuer: Issuer) -> None:
    issuer.is_up = False
    settings = ServeSettings(tokens=TokenSettings("mirror", keys_url=issuer.url))
    assert await caller(settings, authorization=f"Bearer {issuer.token('one')}") == 503


@pytest.mark.parametrize(
    "make",
    [
        lambda: TokenSettings("", secret=SECRET),
        lambda: TokenSettings("mirror"),
        lambda: TokenSettings("mirror", secret="short"),
        lambda: TokenSettings("mirror", secret=SECRET, keys_url="https://login.example/keys"),
        lambda: TokenSettings("mirror", keys_url="http://login.example/keys"),
        lambda: TokenSettings("mirror", keys_url="file:///etc/keys"),
        lambda: TokenSettings.from_environment({"MIRROR_JWT_SECRET": SECRET}),
        lambda: ServeSettings(),
        lambda: ServeSettings(keys={"short": "ana"}),
        lambda: ServeSettings(keys={KEY: " "}),
        lambda: ServeSettings(keys={KEY: "ana"}, local_user="me"),
        lambda: ServeSettings(trusted_key=KEY),
        lambda: ServeSettings(user_header=HEADER),
        lambda: ServeSettings(keys={KEY: "ana"}, trusted_key=KEY, user_header=HEADER),
    ],
)
def test_a_sign_in_that_is_none_is_a_configuration_error(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"expected|too short"):
        make()


def test_settings_show_no_secret() -> None:
    shown = repr(ServeSettings(keys={KEY: "ana"}, tokens=BY_SECRET, trusted_key=KEY + "2", user_header=HEADER))
    assert KEY not in shown
    assert SECRET not in shown


async def test_an_api_key_is_its_users() -> None:
    assert await caller(ServeSettings(keys={KEY: "ana"}), authorization=f"Bearer {KEY}") == "ana"


async def test_a_token_is_accepted_next_to_api_keys() -> None:
    settings = ServeSettings(keys={KEY: "ben"}, tokens=BY_SECRET)
    assert await caller(settings, authorization=f"bearer {jwt.encode(claims(), SECRET)}") == "ana"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer \xe9"])
async def test_a_caller_without_a_valid_key_is_refused(authorization: str) -> None:
    assert await caller(ServeSettings(keys={KEY: "ana"}), authorization=authorization) == 401


async def test_a_trusted_front_end_names_the_user() -> None:
    settings = ServeSettings(trusted_key=KEY, user_header=HEADER)
    assert await caller(settings, **{"authorization": f"Bearer {KEY}", HEADER: "ana"}) == "ana"


@pytest.mark.parametrize(
    "named", [{}, {HEADER: ""}, {HEADER: "  "}, {HEADER: "{{USER_ID}}"}, {HEADER: "undefined"}, {"X-User-Id": "ana"}]
)
async def test_a_trusted_front_end_that_names_no_user_is_refused(named: dict[str, str]) -> None:
    settings = ServeSettings(trusted_key=KEY, user_header=HEADER)
    assert await caller(settings, authorization=f"Bearer {KEY}", **named) == 401


async def test_the_header_of_a_caller_that_is_not_trusted_counts_for_nothing() -> None:
    settings = ServeSettings(keys={KEY: "ben"}, trusted_key=KEY + "2", user_header=HEADER)
    assert await caller(settings, **{"authorization": f"Bearer {KEY}", HEADER: "ana"}) == "ben"
    assert await caller(settings, **{HEADER: "ana"}) == 401


async def test_the_user_of_this_machine_needs_no_key_and_any_key_is_ignored() -> None:
    local = ServeSettings(local_user="me")
    assert await caller(local) == await caller(local, **{"authorization": "Bearer none", HEADER: "ana"}) == "me"


def test_keys_are_read_from_a_file_of_users(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'ana = "{KEY}"\n"ben@example.com" = "{KEY}2"\n')
    assert read_keys(file) == {KEY: "ana", f"{KEY}2": "ben@example.com"}


@pytest.mark.parametrize("text", ["ana = 1", f'ana = "{KEY}"\nben = "{KEY}"', "not toml", None])
def test_a_file_that_holds_no_keys_is_a_configuration_error(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "keys.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"keys\.toml"):
        read_keys(file)
