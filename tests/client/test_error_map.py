"""Every status and every failure of a connection becomes one of our errors."""

from __future__ import annotations

import http.client
import typing

import grpc
import pytest
from tritonclient.utils import InferenceServerException

import nosclient
from nosclient._call import Call, Method
from nosclient._error_map import GRPC, translate

URL = "grpc://host:1"


def test_every_grpc_status_has_its_row():
    assert set(GRPC) == {code.name for code in grpc.StatusCode} - {"OK"}


@pytest.mark.parametrize("method", typing.get_args(Method))
@pytest.mark.parametrize("status", [*GRPC, "400", "404", "418", "499", "500", "503", "599"])
def test_every_status_keeps_the_message_or_says_deadline(method, status):
    shown = status if status.isdigit() else f"StatusCode.{status}"
    error = translate(
        InferenceServerException("the reason", shown), Call(method, 1.0, "model"), URL
    )
    assert isinstance(error, nosclient.NosClientError)
    assert type(error) is not nosclient.NosClientError
    expected = "deadline" if isinstance(error, nosclient.DeadlineExceeded) else "the reason"
    assert expected in str(error)


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("infer", "INTERNAL", "InferenceFailed"),
        ("infer", "500", "InferenceFailed"),
        ("infer", "INVALID_ARGUMENT", "InvalidInput"),
        ("infer", "UNAUTHENTICATED", "Unauthorized"),
        ("infer", "403", "Unauthorized"),
        ("load_model", "PERMISSION_DENIED", "Unauthorized"),
        ("infer", "RESOURCE_EXHAUSTED", "ModelNotReady"),
        ("infer", "413", "MessageTooLarge"),
        ("infer", "503", "ModelNotReady"),
        ("infer", "UNAVAILABLE", "ServerUnavailable"),
        ("load_model", "400", "ModelLoadFailed"),
        ("load_model", "INTERNAL", "ModelLoadFailed"),
        ("get_model_config", "404", "ModelNotFound"),
        ("get_model_config", "INTERNAL", "ServerError"),
        ("get_model_config", "418", "ServerError"),
        ("get_model_config", "NEW_STATUS", "ServerError"),
    ],
)
def test_what_a_status_means_depends_on_the_call(method, status, expected):
    error = translate(InferenceServerException("reason", status), Call(method, 1.0, "m"), URL)
    assert type(error).__name__ == expected
    if expected == "ServerError":
        assert status in str(error)


def test_a_worker_that_is_gone_is_named_with_what_brings_it_back():
    died = InferenceServerException("message: Stub process 'a_b_0_1' is not healthy.", "INTERNAL")
    for model in ("a_b", "an_ensemble_of_it"):
        error = translate(died, Call("infer", 1.0, model), URL)
        assert isinstance(error, nosclient.InferenceFailed)
        assert f"model {model!r} failed: " in str(error)
        assert "unload_model('a_b') and then load_model('a_b')" in str(error)


@pytest.mark.parametrize(
    ("model", "said", "ended"),
    [
        ("a", "Stub process 'a_0' is not healthy.", "a"),  # no instance_group was written
        ("a_1", "Stub process 'a_1_0' is not healthy.", "a_1"),
        ("a_1", "Stub process 'a_1_0_0' is not healthy.", "a_1"),
        ("a", "Failed to obtain the health mutex.", "a"),
        ("ensemble", "in ensemble 'ensemble', Stub process 'part_0_0' is not healthy.", "part"),
        ("a", "model 'b': no answer within 9 s (...), so its worker has ended; the log says", "b"),
    ],
)
@pytest.mark.parametrize("status", ["INTERNAL", "500"])
def test_whose_worker_has_ended(model, said, ended, status):
    error = translate(InferenceServerException(said, status), Call("infer", 1.0, model), URL)
    assert type(error) is nosclient.WorkerEnded
    assert f"the worker process of {ended!r} has ended" in str(error)


def test_a_model_that_the_server_does_not_have():
    refused = InferenceServerException(
        "failed to load 'm', failed to poll from model repository", "INTERNAL"
    )
    error = translate(refused, Call("load_model", 1.0, "m"), URL)
    assert isinstance(error, nosclient.ModelLoadFailed)
    assert "no such model, or one that is not built" in str(error)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TimeoutError("timed out"), nosclient.DeadlineExceeded),
        (TimeoutError(110, "Connection timed out"), nosclient.ServerUnavailable),
        (ConnectionRefusedError(111, "refused"), nosclient.ServerUnavailable),
        (http.client.RemoteDisconnected("gone"), nosclient.ServerUnavailable),
        (http.client.BadStatusLine("no http"), nosclient.ServerUnavailable),
    ],
)
def test_failures_of_the_connection(failure, expected):
    assert type(translate(failure, Call("infer", 1.0, "m"), URL)) is expected


@pytest.mark.parametrize(
    ("failure", "url", "write"),
    [
        (http.client.BadStatusLine("\0\0\x18"), "http://host:1", "grpc://host:1"),
        (
            InferenceServerException("failed to connect to all: Socket closed", "UNAVAILABLE"),
            "grpc://host:1",
            "http://host:1",
        ),
    ],
)
def test_the_other_protocol_is_proposed(failure, url, write):
    error = translate(failure, Call("infer", 1.0, "m"), url)
    assert type(error) is nosclient.ServerUnavailable
    assert f"write {write}" in str(error)
    assert "\0" not in str(error)


def test_refusals_of_tritonclient_itself_are_invalid_input():
    error = translate(InferenceServerException("reserved"), Call("infer", None, "m"), URL)
    assert type(error) is nosclient.InvalidInput
