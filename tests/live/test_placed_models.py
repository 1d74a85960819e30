"""A placement that `nosbuild plan --apply` wrote, read by a real Triton."""

import pytest

import nosbuild
from nosbuild.errors import RepositoryError
from nosbuild.plan.gpus import NoGpu, gpus

MODEL = """\
class TritonPythonModel:
    def execute(self, requests):
        return [None for _ in requests]
"""
CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
instance_group { kind: KIND_GPU }
"""


@pytest.mark.live
@pytest.mark.skipif(not isinstance(gpus(), NoGpu), reason="a GPU would serve it")
def test_triton_looks_for_the_gpu_that_was_planned(tmp_path):
    folder = tmp_path / "models/m"
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(CONFIG)
    found = nosbuild.place(tmp_path / "models", "80GiB", rates={"m": {"memory": "3GiB"}})
    assert found.apply() == ["m"]
    with pytest.raises(RepositoryError, match=r"instance group m_0 of model m .* gpu id 0"):
        nosbuild.serve(tmp_path / "models", http_port=0, grpc_port=0, metrics_port=0)
