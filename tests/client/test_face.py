"""What ``import nosclient`` brings, and urls."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import nosclient
from nosclient import AsyncClient, Client, ClientClosed, InvalidInput, NosClientError
from nosclient._address import parse_address


def test_import_brings_no_heavy_library():
    code = "import sys, json, nosclient; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in json.loads(ran.stdout)}
    assert "nosclient" in roots
    unwanted = {"nosbuild", "torch", "onnx", "onnxruntime", "grpc", "gevent", "aiohttp"}
    assert not roots & (unwanted | {"tritonclient"})
    # Those take as long as all of nosclient's own modules; numpy alone takes longer.
    assert not roots & {"asyncio", "http", "ssl"}


def test_the_asynchronous_client_comes_when_it_is_asked_for():
    code = (
        "import sys, nosclient\n"
        "from nosclient import AsyncModel, AsyncModelSequence, AsyncStream\n"
        "print(nosclient.AsyncClient.__name__, 'AsyncClient' in dir(nosclient))\n"
        "from nosclient import *\n"
        "print(set(nosclient.__all__) <= set(globals()))\n"
        "nosclient.Nothing\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["AsyncClient", "True", "True"]
    assert "module 'nosclient' has no attribute 'Nothing'" in ran.stderr


def test_every_error_is_public_and_in_the_tree():
    import nosclient._errors as errors

    own = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(own) >= 10
    for kind in own:
        assert issubclass(kind, NosClientError)
        assert getattr(nosclient, kind.__name__) is kind
        assert kind.__name__ in (errors.__doc__ or "")


def test_errors_are_shown_as_they_are_imported():
    import pickle
    import typing

    import nosclient.testing

    for module in (nosclient, nosclient.testing):
        for name in module.__all__:
            kind = getattr(module, name)
            if issubclass(kind, Exception):
                assert (kind.__module__, kind.__qualname__) == (module.__name__, name)
            assert pickle.loads(pickle.dumps(kind)) is kind
    assert "queue" in typing.get_type_hints(nosclient.ModelStatistics)
    error = nosclient.ServerUnavailable("gone", was_sent=False)
    error.endpoint = 1
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is nosclient.ServerUnavailable
    assert vars(back) == vars(error)
    assert str(back) == "gone"
    stats = nosclient.ClientStats()
    assert pickle.loads(pickle.dumps(stats)) == stats


def test_both_clients_have_the_same_face():
    import inspect

    def face(kind):
        public = {name: f for name, f in vars(kind).items() if not name.startswith("_")}
        methods = {name: getattr(f, "fget", f) for name, f in public.items()}
        shown = {name: str(inspect.signature(f)) for name, f in methods.items()}
        return {name: text.replace("Async", "") for name, text in shown.items()}

    assert face(Client) == face(AsyncClient)
    assert "run" in face(Client)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("localhost:8001", "grpc://localhost:8001"),
        ("localhost", "grpc://localhost:8001"),
        ("grpc://10.0.0.1:9", "grpc://10.0.0.1:9"),
        ("http://host", "http://host:8000"),
        ("http://host:80/triton/", "http://host:80/triton"),
        ("[::1]:8001", "grpc://[::1]:8001"),
        ("grpcs://host", "grpcs://host:8001"),
        ("https://host/triton", "https://host:443/triton"),
    ],
)
def test_urls(url, read):
    assert str(parse_address(url)) == read


@pytest.mark.parametrize("url", ["ftp://host", "host:port", "host:99999", "", "grpc://host/path"])
def test_bad_urls_say_what_to_write(url):
    with pytest.raises(InvalidInput, match=r"write (grpc|http)://"):
        Client(url)


def test_closed_client_says_so(dead_url):
    client = Client(dead_url)
    client.close()
    client.close()
    with pytest.raises(ClientClosed, match="closed"):
        client.is_ready()
