"""What a candidate is made of: all of the model's folder, under another name and a config of its
own; and how what became of it is told.
"""

import pytest

from nosbuild.errors import Refused
from nosbuild.prove.proof import ServedProof
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import ModelFolder
from nosbuild.rollout.candidate import abandoned, candidate_of
from nosbuild.rollout.outcome import RollOut, settled
from nosbuild.runtime.served_files import snapshot_of

CONFIG = """
name: "m"
backend: "python"
version_policy { specific { versions: 2 } }
instance_group { count: 3 kind: KIND_GPU gpus: [ 0, 1 ] }
instance_group { count: 2 kind: KIND_CPU }
response_cache { enable: true }
dynamic_batching { max_queue_delay_microseconds: 7 }
model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { input_data_file: "f" } } }
parameters { key: "EXECUTION_ENV_PATH"
  value { string_value: "$$TRITON_MODEL_DIRECTORY/environments/k" } }
"""


@pytest.fixture
def folder(tmp_path):
    made = ModelFolder(tmp_path / "repository/m")
    made.version(2).mkdir(parents=True)
    (made.version(2) / "model.py").write_text("two")
    (made.path / "environments/k").mkdir(parents=True)
    for name in ("triton_python_backend_stub", ".publish.lock", "model.yaml"):
        (made.path / name).write_text(name)
    made.config.write_text(CONFIG)
    return made


def test_it_has_all_but_a_config_of_its_own_and_goes_in_the_end(folder, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    with candidate_of(folder, snapshot_of(folder), models) as candidate:
        assert abandoned(models) == [candidate.name]
        place = models / candidate.name
        assert {entry.name for entry in place.iterdir()} == {
            "2",
            "config.pbtxt",
            "environments",
            "model.yaml",
        }
        assert (place / "2/model.py").read_text() == "two"
        config = read_config(place / "config.pbtxt")
        assert config.name == candidate.name != "m"
        (group,) = config.instance_group
        assert (group.count, list(group.gpus)) == (1, [0])
        assert not config.response_cache.enable
        assert not config.model_warmup
        assert config.dynamic_batching.max_queue_delay_microseconds == 7
        assert list(config.version_policy.specific.versions) == [2]
        assert candidate.as_model(f"'{candidate.name}' fails") == "'m' fails"
    assert not list(models.iterdir())
    assert (folder.version(2) / "model.py").read_text() == "two"
    assert folder.config.read_text() == CONFIG


def proof(version):
    return ServedProof(model="m", version=version, variant="v", samples=8)


def test_it_is_told_what_serves_now():
    said = []
    one = RollOut("m", (1,), (2,), (proof(2),))
    assert settled([RollOut("part", (1,), (4, 5), (proof(4), proof(5))), one], "m", said.append)
    assert said == [
        "part: versions 4, 5 serve, proven with 16 golden samples in this server",
        "m: version 2 serves, proven with 8 golden samples in this server",
    ]
    assert not settled([one], "caller", said.append)
    unloaded = RollOut("m", (1,), (2,), (proof(2),), is_loaded=False)
    assert unloaded.describe() == (
        "m: version 2 is proven with 8 golden samples in this server, and serves once it is loaded"
    )
    assert not settled([], "m", said.append)


def test_it_is_told_what_is_refused_and_why():
    refused = RollOut("m", (1,), (2,), refused="one\ntwo", in_place="version 1 is gone")
    with pytest.raises(Refused) as caught:
        settled([refused], "m", print)
    assert caught.value.message.splitlines() == [
        "m: version 2 refused; version 1 stays",
        "  one",
        "  two",
        "  version 1 is gone",
    ]
