"""One real server: a built model with golden samples, and small ones that misbehave."""

import os
import shutil
from pathlib import Path

import pytest
from bench_models import CODE, write_small

MODELS = Path(__file__).parents[1] / "client/models"
FLAKY = CODE.replace(
    "        x = ",
    """\
        SEEN.append(1)
        if len(SEEN) % 3 == 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("every third one"))
        x = """,
).replace("class", "SEEN = []\n\n\nclass")
# 20 ms for each request, one after the other: never more than 50 requests a second.
SLOW = "import time\n" + CODE.replace("        x = ", "        time.sleep(0.02)\n        x = ")
# More than 64 KiB from the first time on, so through shared memory, and larger each time up to a
# limit: room for the largest so far is too little then.
GROWING = "import numpy as np\n\nSEEN = []\n" + CODE.replace(
    '        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])',
    """\
        SEEN.append(1)
        size = 20_000 + 1_000 * min(len(SEEN), 40)
        y = np.zeros((len(x), size), np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", y)])""",
)
OUTPUT = 'name: "y" data_type: TYPE_FP32 dims: -1'


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    from nosbuild import build, serve

    repository = tmp_path_factory.mktemp("bench") / "model_repository"
    built = repository / "linear"
    built.mkdir(parents=True)
    (built / "model.yaml").write_text(
        "name: linear\nsource: {torch: 'model.py:Net'}\n"
        "inputs: {x: 'float32[batch, 4]'}\noutputs: {y: 'float32[batch, 3]'}\n"
        "samples: 'samples.py:rows'\nprecision: [fp32]\nquality: {cosine: 0.99}\n"
        "batching: {max_delay_us: 3000}\ninstances: {count: 1, threads: 1}\n"
    )
    (built / "model.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Linear(4, 3))\n"
    )
    (built / "samples.py").write_text(
        "import numpy as np\n\n\ndef rows():\n"
        "    draws = np.random.default_rng(0)\n"
        "    return [{'x': draws.normal(size=4).astype('float32')} for _ in range(12)]\n"
    )
    build(built, repository)
    write_small(repository, "flaky", FLAKY)
    write_small(repository, "slow", SLOW)
    write_small(repository, "growing", GROWING)
    config = repository / "growing/config.pbtxt"
    config.write_text(config.read_text().replace('name: "y" data_type: TYPE_FP32 dims: 4', OUTPUT))
    write_small(repository, "unloaded")
    for model in ("late", "ticker", "totals"):
        shutil.copytree(MODELS / model, repository / model)
    models = ["linear", "flaky", "slow", "growing", "late", "ticker", "totals"]
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, models=models, **ports) as running:
        yield running


@pytest.fixture
def measure(service):
    """``bench`` on that server, short."""
    from nosbuild.bench import bench

    def run(model, *levels, **options):
        options = {"duration": 1.0, "warmup": 0.0, "repository": service.repository, **options}
        return bench(service.grpc_url, model, levels, **options)

    return run


@pytest.fixture
def nosbuild(tmp_path, command_line):
    """The command line, in a folder of its own."""

    def run(*arguments):
        environment = {**os.environ, "COLUMNS": "300"}
        return command_line.run(*map(str, arguments), cwd=tmp_path, env=environment)

    return run
