"""config.pbtxt of Python models, and which of their versions can be served together."""

from dataclasses import replace

import numpy as np
import pytest
from variants import publish_variant, write_spec

from nosbuild.plan import RunsOn
from nosbuild.repository.config import (
    interface_digest,
    model_config,
    read_config,
    warmup_files,
    write_text,
)
from nosbuild.repository.layout import LOCK
from nosbuild.repository.listing import list_models
from nosbuild.repository.lock import read_lock
from nosbuild.store.hashing import sha256_of_files
from nosbuild.tensors import TensorSpec
from nosbuild.verify.golden import read_golden, write_golden
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Finding, Proof
from nosbuild.verify.variant import verified

INPUTS = (
    TensorSpec.parse("text", "string[batch]"),
    TensorSpec.parse("ids", "int64[batch, n]"),
    replace(TensorSpec.parse("top", "int64[batch]"), optional=True),
)
OUTPUTS = (TensorSpec.parse("y", "float32[batch]"),)
FINDING = Finding(output="y", bar="atol <= 0", value=0, holds=True, batch=1, sample=0)


@pytest.fixture
def made(repository, scratch):
    """A variant, as the build of a class makes it, and its spec."""

    def make(more="", mark="first", **details):
        (repository / "m").mkdir(exist_ok=True)
        (repository / "m/model.py").write_text(
            "class Model:\n    def __call__(self, text: str, ids, top=1): ...\n"
        )
        text = f'source: {{python: "model.py:Model"}}\n{more}\n'
        spec = write_spec(repository, text).with_tensors(INPUTS, OUTPUTS)
        artifact, golden = scratch / mark / "artifact", scratch / mark / "golden"
        for name in ("model.py", "source/deep/words.txt"):
            (artifact / name).parent.mkdir(parents=True, exist_ok=True)
            (artifact / name).write_text(mark)
        item = {"text": np.array("größe", object), "ids": np.arange(3)}
        write_golden(golden, [item], [{"y": np.float32(1)}])
        files = [path for path in artifact.rglob("*") if path.is_file()]
        variant = verified(
            runs_on=RunsOn("python"),
            artifact=artifact,
            details=details,
            golden=golden,
            inputs=INPUTS,
            outputs=OUTPUTS,
            proof=Proof(
                variant="python",
                artifact=sha256_of_files(files, artifact),
                findings=(FINDING,),
                reasons=(),
                samples=1,
                real_samples=True,
                batches=(1,),
            ),
            measurement=Measurement(latencies=(), throughputs=(), instances=2, threads=1, why=""),
        )
        return variant, spec

    return make


@pytest.fixture
def config_of(made, scratch):
    """The configuration after a round trip through its text."""

    def config(more="", **details):
        variant, spec = made(more, **details)
        item = read_golden(variant.golden)[0].inputs
        file = scratch / "config.pbtxt"
        file.write_text(
            write_text(model_config(variant, spec, warmup_files(variant, spec, item, "p")[0], [1]))
        )
        return read_config(file)

    return config


def environment(key):
    return {"key": key, "packages": []}


def test_inputs_that_may_be_left_out_and_those_that_are_padded(config_of):
    config = config_of("pad: {ids: 0}")
    shown = {row.name: (row.optional, row.allow_ragged_batch) for row in config.input}
    assert shown == {"text": (False, False), "ids": (False, True), "top": (True, False)}
    assert set(config.model_warmup[0].inputs) == {"text", "ids"}


def test_the_instances_of_a_class(config_of):
    (group,) = config_of().instance_group
    assert (group.count, group.kind) == (2, group.KIND_CPU)
    assert "intra_op_thread_count" not in config_of().parameters


def test_an_environment_is_named_where_the_repository_may_move(config_of):
    parameters = config_of(environment=environment("abc")).parameters
    path = parameters["EXECUTION_ENV_PATH"].string_value
    assert path == "$$TRITON_MODEL_DIRECTORY/environments/abc"
    assert "EXECUTION_ENV_PATH" not in config_of().parameters


def test_a_class_that_streams_or_calls_others_is_not_warmed_up(config_of):
    assert config_of().model_warmup
    assert not config_of(calls={"other": {}}).model_warmup
    streams = config_of(streams=True)
    assert streams.model_transaction_policy.decoupled
    assert not streams.model_warmup


def test_versions_of_two_environments_are_not_served_together(config_of, made, repository):
    plain, one, other = (
        interface_digest(config_of(**details))
        for details in ({}, {"environment": environment("a")}, {"environment": environment("b")})
    )
    assert len({plain, one, other, interface_digest(config_of(streams=True))}) == 4
    for mark, key in (("first", "a"), ("second", "b"), ("third", "b")):
        variant, spec = made("version_policy: all", mark, environment=environment(key))
        publish_variant(variant, spec, repository)
    served = read_config(repository / "m/config.pbtxt").version_policy.specific.versions
    assert list(served) == [2, 3]


def test_folders_are_published_and_counted(made, repository):
    variant, spec = made()
    folder = publish_variant(variant, spec, repository).folder
    lock = read_lock(folder / "1" / LOCK)
    assert set(lock.artifact) == {"model.py", "source/deep/words.txt"}
    assert (folder / "1/source/deep/words.txt").read_text() == "first"
    (row,) = list_models(repository)
    assert (row.variant, row.size_bytes) == ("python", 2 * len("first"))

    (folder / "1/source/deep/words.txt").write_text("tampered")
    again = publish_variant(variant, spec, repository)
    assert (again.version, again.is_new) == (2, True)
