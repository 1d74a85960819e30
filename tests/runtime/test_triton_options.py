"""Options of tritonserver that nosbuild sets itself."""

import pytest

from nosbuild import serve
from nosbuild.errors import RequestError
from nosbuild.runtime.triton_options import check_triton_options


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        (["--http-port=9000"], "http_port="),
        (["--grpc-port", "9000"], "grpc_port="),
        (["--log-verbose=1", "--model-repository=/elsewhere"], "repository="),
        (["--model-control-mode=poll"], "models="),
        (["--backend-directory=/elsewhere"], "server environment"),
        (["--exit-timeout-secs=60"], "drain_timeout="),
        (["--backend-config=python,shm-region-prefix-name=mine"], "names the memory"),
        ("--log-verbose=1", "['--log-verbose=1']"),
    ],
)
def test_are_refused_with_what_to_use(tmp_path, options, instead):
    with pytest.raises(RequestError) as caught:
        serve(tmp_path, triton_options=options)
    assert instead in caught.value.remedy


def test_others_are_handed_on():
    check_triton_options(
        ["--strict-readiness=false", "--backend-config=python,stub-timeout-seconds=5"]
    )
