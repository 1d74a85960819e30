"""TLS, tokens and keys against a real server; HTTPS through a real proxy, as Triton has none."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import threading
import traceback
import warnings
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from certificates import Authority

from nosbuild import serve
from nosclient import (
    TLS,
    AsyncClient,
    Client,
    InvalidInput,
    NosClientError,
    ServerUnavailable,
    Unauthorized,
    UntrustedServer,
)

pytestmark = pytest.mark.live

SECRET = "s3cret-value"
ECHO = {"int8": [[1]]}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("security") / "models"
    shutil.copytree(Path(__file__).parent / "models", folder)
    return folder


@contextmanager
def triton(repository, *options):
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    options = ["--strict-readiness=false", *options]
    models = ["echo", "ticker"]
    with serve(repository, models=models, triton_options=options, announce=False, **ports) as it:
        yield it


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("others"), "other")


@pytest.fixture(scope="module")
def own(ours):
    return dict(zip(("certificate", "key"), ours.issue("client", "DNS:client"), strict=True))


@pytest.fixture(scope="module")
def secured(repository, ours):
    """Asks for a client's certificate; its own is for 127.0.0.1 and triton.test."""
    certificate, key = ours.issue("server", "DNS:triton.test,IP:127.0.0.1")
    with triton(
        repository,
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={certificate}",
        f"--grpc-server-key={key}",
        f"--grpc-root-cert={ours.ca}",
    ) as service:
        yield service


@pytest.fixture(params=["grpcs", "https"])
def secure_url(request, secured, ours):
    if request.param == "grpcs":
        yield f"grpcs://{secured.grpc_url}"
        return
    certificate, key = ours.folder / "server.pem", ours.folder / "server.key"
    with proxy(secured.http_url, certificate, key, ours.ca) as (url, _):
        yield url


@contextmanager
def proxy(http_url, certificate, key, clients_ca=None):
    """TLS in front of Triton; gives its url, and the start of all that went through."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    if clients_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_ca)
    host, port = http_url.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def copy(source, target):
        try:
            while data := source.recv(65536):
                seen.append(data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with closing(end):
                pass

    def accept():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                client = context.wrap_socket(plain, server_side=True)
            except OSError:
                plain.close()
                continue
            behind = socket.create_connection((host, int(port)))
            for pair in ((client, behind), (behind, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def outcomes(url, ask=lambda client: client.run("echo", ECHO), **arguments):
    """What both clients make of it: a list of two answers or errors."""

    async def asynchronously():
        async with AsyncClient(url, deadline=20, **arguments) as client:
            return await ask(client)

    got = []
    with Client(url, deadline=20, **arguments) as client:
        for attempt in (lambda: ask(client), lambda: asyncio.run(asynchronously())):
            try:
                got.append(attempt())
            except NosClientError as error:
                assert SECRET not in "".join(traceback.format_exception(error))
                got.append(error)
    return got


def test_mutual_tls(secure_url, ours, own):
    for tls in (
        TLS(ca=ours.ca, **own),
        TLS(ca=ours.ca.read_bytes(), **{name: path.read_bytes() for name, path in own.items()}),
        TLS(ca=ours.ca, **own, server_name="triton.test"),
    ):
        for answer in outcomes(secure_url, tls=tls):
            assert answer["int8_out"].tolist() == [[1]]


def test_streams_are_secure_too(secured, ours, own):
    tls = TLS(ca=ours.ca, **own)
    url = f"grpcs://{secured.grpc_url}"

    async def main():
        async with AsyncClient(url, tls=tls, deadline=20) as client:
            return [chunk["tick"].item() async for chunk in client.stream("ticker", {"n": [3]})]

    with Client(url, tls=tls, deadline=20) as client, client.stream("ticker", {"n": [3]}) as ticks:
        got = [chunk["tick"].item() for chunk in ticks]
    assert got == asyncio.run(main())
    assert len(got) == 3


def test_without_a_scheme_a_tls_means_grpcs(secured, ours, own):
    with Client(secured.grpc_url, tls=TLS(ca=ours.ca, **own)) as client:
        assert client.is_ready()
        assert repr(client) == f"Client('grpcs://{secured.grpc_url}')"


def test_another_authority(secure_url, others, own):
    for tls in (TLS(ca=others.ca, **own), TLS(**own), None):
        for error in outcomes(secure_url, tls=tls):
            assert type(error) is UntrustedServer
            assert "authority" in str(error)
            assert "TLS(ca=" in str(error)
            assert secure_url in str(error)


def test_another_name(secure_url, ours, own):
    for error in outcomes(secure_url, tls=TLS(ca=ours.ca, **own, server_name="elsewhere.test")):
        assert type(error) is UntrustedServer
        assert "server_name" in str(error)


def test_no_certificate_of_the_client_or_a_foreign_one(secure_url, ours, others):
    foreign = others.issue("foreign", "DNS:client")
    for tls in (TLS(ca=ours.ca), TLS(ca=ours.ca, certificate=foreign[0], key=foreign[1])):
        for error in outcomes(secure_url, tls=tls):
            # Triton over gRPC closes the connection without a word; OpenSSL says why.
            assert isinstance(error, (Unauthorized, ServerUnavailable))
            assert "TLS(certificate=..., key=...)" in str(error)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_an_expired_certificate_and_one_for_another_host(scheme, repository, ours):
    for name, host, days, words in (
        ("old", "IP:127.0.0.1", -1, "has expired"),
        ("moved", "DNS:elsewhere.test", 2, "another name"),
    ):
        certificate, key = ours.issue(name, host, days)
        options = [f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"]
        with (
            triton(repository, "--grpc-use-ssl=true", *options) as service,
            proxy(service.http_url, certificate, key) as (https, _),
        ):
            url = https if scheme == "https" else f"grpcs://{service.grpc_url}"
            for error in outcomes(url, tls=TLS(ca=ours.ca)):
                assert type(error) is UntrustedServer
                assert words in str(error)


def test_tls_where_there_is_none_and_none_where_there_is(service, secured, ours):
    for url in (f"grpcs://{service.grpc_url}", service.http_url.replace("http", "https")):
        for error in outcomes(url, tls=TLS(ca=ours.ca)):
            assert type(error) is ServerUnavailable
            assert f"write {url.replace('s://', '://')}" in str(error)
    for error in outcomes(f"grpc://{secured.grpc_url}"):
        assert type(error) is ServerUnavailable
        assert f"grpcs://{secured.grpc_url}" in str(error)


@pytest.fixture(scope="module")
def restricted(repository):
    with triton(
        repository,
        f"--grpc-restricted-protocol=model-repository,statistics:admin={SECRET}",
        f"--grpc-restricted-protocol=inference:caller={SECRET}",
        f"--http-restricted-api=statistics:admin={SECRET}",
        f"--http-restricted-api=inference:caller={SECRET}",
    ) as service:
        yield service


@pytest.fixture(params=["grpc", "http"])
def restricted_url(request, restricted):
    return f"grpc://{restricted.grpc_url}" if request.param == "grpc" else restricted.http_url


def test_restricted_apis(restricted_url):
    keys = {"caller": SECRET}
    for answer in outcomes(restricted_url, restricted_keys=keys):
        assert answer["int8_out"].tolist() == [[1]]
    for keys in (None, {"caller": f"{SECRET}-not"}, {"admin": SECRET}):
        for error in outcomes(restricted_url, restricted_keys=keys):
            assert type(error) is Unauthorized
            assert "restricted_keys={'caller': ...}" in str(error)
    for keys in (None, {"caller": SECRET}):
        for error in outcomes(restricted_url, lambda c: c.statistics("echo"), restricted_keys=keys):
            assert type(error) is Unauthorized
            assert "restricted_keys={'admin': ...}" in str(error)
    for got in outcomes(
        restricted_url, lambda c: c.statistics("echo"), restricted_keys={"admin": SECRET}
    ):
        assert got.name == "echo"


def test_restricted_model_control(restricted):
    # Over HTTP nosbuild itself loads the models.
    for ask in (lambda c: c.list_models(), lambda c: c.load_model("echo")):
        for error in outcomes(f"grpc://{restricted.grpc_url}", ask):
            assert type(error) is Unauthorized
            assert "'admin'" in str(error)


def test_restricted_streams(restricted):
    url = f"grpc://{restricted.grpc_url}"

    async def ticks(keys):
        async with AsyncClient(url, restricted_keys=keys, deadline=20, retries=0) as client:
            return [chunk["tick"].item() async for chunk in client.stream("ticker", {"n": [2]})]

    assert len(asyncio.run(ticks({"caller": SECRET}))) == 2
    for _ in range(100):  # gRPC's asyncio loses, one time in ten, why a server ended a stream
        with pytest.raises(Unauthorized, match="'caller'"):
            asyncio.run(ticks(None))
    with Client(url, restricted_keys={"caller": SECRET}) as client:
        assert len(list(client.stream("ticker", {"n": [2]}))) == 2
    with Client(url) as client, pytest.raises(Unauthorized, match="'caller'"):
        list(client.stream("ticker", {"n": [2]}))


def test_tokens_and_headers_travel_with_each_request(service, ours):
    given = iter(f"token-{number}" for number in range(100))
    certificate, key = ours.issue("proxy", "IP:127.0.0.1")
    with proxy(service.http_url, certificate, key) as (url, seen):
        for arguments in ({"token": "fixed"}, {"token": lambda: next(given)}):
            for answer in outcomes(
                url, tls=TLS(ca=ours.ca), headers={"X-Tenant": "blue"}, **arguments
            ):
                assert answer["int8_out"].tolist() == [[1]]
    through = b"".join(seen).lower()
    assert b"authorization: bearer fixed\r\n" in through
    assert b"x-tenant: blue\r\n" in through
    # Metadata, configuration and the inference, each with a token of its own.
    for number in range(6):
        assert b"authorization: bearer token-%d\r\n" % number in through


def test_secrets_are_not_shown(dead_url, own, ours):
    key = own["key"].read_bytes()
    tls = TLS(ca=ours.ca, certificate=own["certificate"], key=key)
    secrets = [SECRET, key.decode().splitlines()[1]]
    secure = dead_url.replace("://", "s://")
    for kind in (Client, AsyncClient):
        client = kind(
            secure, tls=tls, token=SECRET, headers={"x-a": SECRET}, restricted_keys={"k": SECRET}
        )
        settings = client._settings
        shown = [repr(client), str(client), repr(vars(client)), repr(settings), repr(tls)]
        shown += [repr(vars(settings)), repr(vars(settings.credentials)), repr(vars(tls))]
        shown += [repr(vars(vars(client)["_operations"]))]
        for text in shown:
            assert not any(secret in text for secret in secrets)
    for error in outcomes(secure, tls=tls, token=SECRET, restricted_keys={"k": SECRET}):
        assert type(error) is ServerUnavailable


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"token": f"{SECRET}\n"}, None),
        ({"token": f"{SECRET}\nX: y"}, "token is empty, or no printable"),
        ({"token": ""}, "token is empty"),
        ({"headers": {"x y": SECRET}}, "'x y' is no header's name"),
        ({"headers": {"x": f"{SECRET}é"}}, "header 'x'"),
        ({"token": SECRET, "headers": {"Authorization": SECRET}}, "both a token and the header"),
        ({"url": f"grpc://user:{SECRET}@host"}, "holds a name or a password"),
        ({"url": f"grpc://host:{SECRET}"}, "no url"),
        ({"retries": -1}, "retries=-1"),
        ({"url": "grpc://host:1", "tls": TLS()}, "write grpcs://"),
        ({"url": "http://host:1", "tls": TLS()}, "write https://"),
        ({"tls": TLS(ca=b"no PEM")}, "holds no certificate"),
        ({"tls": TLS(ca="/nowhere/ca.pem")}, "ca of TLS cannot be read"),
        ({"tls": TLS(certificate=b"no", key=SECRET.encode())}, "do not go together"),
        ({"url": []}, "no url"),
        ({"url": ["http://a", "grpc://a"]}, "several schemes"),
        ({"url": ["a:1", "grpc://a:1"]}, "given twice"),
    ],
)
def test_bad_arguments(arguments, words):
    for kind in (Client, AsyncClient):
        if words is None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                kind(**arguments)  # a file's last line break is no part of a token
            continue
        with pytest.raises(InvalidInput, match=words) as caught:
            kind(**arguments)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_certificate_and_key_come_together():
    with pytest.raises(InvalidInput, match="lacks the key"):
        TLS(certificate="c.pem")
    with pytest.raises(InvalidInput, match="lacks the certificate"):
        TLS(key=b"k")


def test_a_token_in_the_clear_is_told():
    for kind in (Client, AsyncClient):
        with pytest.warns(UserWarning, match="without TLS") as caught:
            kind("grpc://10.0.0.1:8001", token=SECRET)
        assert [warning.filename for warning in caught] == [__file__]
        assert SECRET not in str(caught[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kind("grpc://127.0.0.1:8001", token=SECRET)
            kind("grpcs://10.0.0.1:8001", token=SECRET)
            kind("grpc://10.0.0.1:8001")


def test_a_token_that_no_longer_comes(service):
    def broken():
        return "two\nlines"

    def gone():
        raise FileNotFoundError("where the token was")

    for url in (service.grpc_url, service.http_url):
        for error in outcomes(url, token=broken):
            assert type(error) is InvalidInput
            assert "token is empty, or no printable" in str(error)
        for error in outcomes(url, token=gone):
            assert type(error) is Unauthorized
            assert "its function raised FileNotFoundError" in str(error)
