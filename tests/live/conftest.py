"""One running Triton for the tests of this folder, on models made for them."""

import time

import numpy as np
import pytest
import tiny_models
import tritonclient.grpc
from calling import call_over

from nosbuild.runtime import serve


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "live":
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    for model in tiny_models.ALL:
        model(folder)
    return folder


@pytest.fixture(scope="session")
def service(repository):
    with serve(repository) as running:
        yield running


@pytest.fixture(scope="session", params=["grpc", "http"])
def call(request, service):
    caller = call_over(request.param, service)
    yield caller
    caller.close()


@pytest.fixture
def grpc(service):
    with tritonclient.grpc.InferenceServerClient(service.grpc_url) as client:
        yield client


@pytest.fixture
def counts(grpc):
    """Requests' items and executions of a model so far, once it counted ``items`` of them.

    Triton counts a request after it has answered it.
    """

    def read(model, items=0):
        patience = time.monotonic() + 60
        while True:
            (entry,) = grpc.get_inference_statistics(model, as_json=True)["model_stats"]
            found = [int(entry.get(key, 0)) for key in ("inference_count", "execution_count")]
            if found[0] >= items or time.monotonic() > patience:
                return np.array(found)
            time.sleep(0.05)

    return read
