"""Engines are really built, with TensorRT-RTX, which needs no GPU for that."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nosbuild.errors import HostError, InputError, Refused, SpecError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine import facts as engine_facts
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.library import Messages
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.shapes import (
    ShapeRange,
    ShapeRefused,
    choose_profile,
)
from nosbuild.optimize.tensorrt import builders, check_engine, profiles_from, tensorrt_from_onnx
from nosbuild.optimize.tensorrt.flavours import flavour_named
from nosbuild.optimize.tensorrt.network import new_builder, parse_onnx, strongly_typed_network
from nosbuild.optimize.tensorrt.profiles import OptimisationProfile
from nosbuild.optimize.tensorrt.tensorrt_from_onnx import Compatibility
from nosbuild.plan import HostFacts
from nosbuild.plan.gpus import Gpu, NoGpu, gpus
from nosbuild.store.hashing import sha256_of_file

RTX = "tensorrt_rtx"
needs_rtx = pytest.mark.skipif(
    RTX not in {flavour.name for flavour in builders().available},
    reason="tensorrt-rtx-cu13 is not installed",
)
needs_no_gpu = pytest.mark.skipif(
    not isinstance(gpus(), NoGpu), reason="there is a GPU here: nothing refuses"
)
BATCH = {"x": ShapeRange((1, 16), (4, 16), (8, 16))}


def onnx_file(folder, dtype=TensorProto.FLOAT, *, quantized=False, activation="Relu", domain=""):
    """Y = activation(x @ w), with Q/DQ around both operands where quantized."""
    folder.mkdir(exist_ok=True)
    numpy_dtype = helper.tensor_dtype_to_np_dtype(dtype)
    random = np.random.default_rng(0)
    weights = [numpy_helper.from_array(random.normal(size=(16, 8)).astype(numpy_dtype), "w")]
    nodes, operands = [], ["x", "w"]
    if quantized:
        weights.append(numpy_helper.from_array(np.float32(0.05), "scale"))
        weights.append(numpy_helper.from_array(np.int8(0), "zero"))
        for name in ("x", "w"):
            nodes.append(
                helper.make_node(
                    "QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"], f"q_{name}"
                )
            )
            nodes.append(
                helper.make_node(
                    "DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"], f"d_{name}"
                )
            )
        operands = ["x_d", "w_d"]
    nodes.append(helper.make_node("MatMul", operands, ["a"], "product"))
    nodes.append(helper.make_node(activation, ["a"], ["y"], "last", domain=domain))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", dtype, ["batch", 16])],
        [helper.make_tensor_value_info("y", dtype, ["batch", 8])],
        weights,
    )
    opsets = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "model.onnx")
    return folder / "model.onnx"


def build(source, out, shapes=BATCH, **options):
    out.mkdir(exist_ok=True)
    profiles = options.pop("profiles", [OptimisationProfile(shapes)])
    return tensorrt_from_onnx(source, out, profiles=profiles, flavour=RTX, **options)


@needs_rtx
@pytest.mark.parametrize(
    ("dtype", "quantized"),
    [
        (TensorProto.FLOAT, False),
        (TensorProto.FLOAT16, False),
        (TensorProto.BFLOAT16, False),
        (TensorProto.FLOAT, True),
    ],
    ids=["fp32", "fp16", "bf16", "int8"],
)
def test_an_engine_is_built_and_says_what_it_is(tmp_path, capfd, dtype, quantized):
    source = onnx_file(tmp_path / "in", dtype, quantized=quantized)
    made = build(source, tmp_path / "out", workspace_bytes=1 << 26)
    plan = tmp_path / "out/model.plan"
    assert plan.stat().st_size > 1000
    beside = json.loads((tmp_path / "out/model.engine.json").read_text())
    assert beside == made.details
    assert beside["flavour"] == RTX
    assert beside["requirement"] == f"tensorrt-rtx-cu13=={beside['version']}"
    assert beside["onnx_sha256"] == sha256_of_file(source)
    assert beside["workspace_bytes"] == 1 << 26
    assert beside["profiles"] == [{"x": {"min": [1, 16], "opt": [4, 16], "max": [8, 16]}}]
    assert "TF32" in beside["flags"]
    assert beside["version"] in made.how
    log = capfd.readouterr().err
    assert "Building engine" in log
    assert f"{plan.stat().st_size} bytes" in log


@needs_rtx
def test_quantizers_of_the_graph_stay_in_a_strongly_typed_network(tmp_path):
    flavour = flavour_named(RTX)
    messages = Messages(flavour.library)
    builder = new_builder(flavour, messages)
    network = strongly_typed_network(flavour, builder)
    parse_onnx(flavour, network, onnx_file(tmp_path / "in", quantized=True), messages)
    assert network.get_flag(flavour.library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    layers = [network.get_layer(index).type.name for index in range(network.num_layers)]
    assert layers.count("QUANTIZE") == layers.count("DEQUANTIZE") == 2


@needs_rtx
def test_an_unknown_operator_names_its_node(tmp_path):
    source = onnx_file(tmp_path / "in", activation="Fancy", domain="my.ops")
    with pytest.raises(Refused, match=r"node 'last' \(Fancy\): .*Plugin not found") as caught:
        build(source, tmp_path / "out")
    assert "ONNX variants" in caught.value.remedy
    assert not list((tmp_path / "out").iterdir())


def test_a_profile_that_does_not_rise_is_refused_before_anything_is_built():
    with pytest.raises(InputError, match="'x' does not rise on axis 0: min 8, opt 4, max 2") as bad:
        OptimisationProfile({"x": ShapeRange((8, 16), (4, 16), (2, 16))})
    assert "2..4..8" in bad.value.remedy
    with pytest.raises(InputError, match="2 axes in min, 1 in opt"):
        OptimisationProfile({"x": ShapeRange((8, 16), (4,), (2, 16))})


def test_a_spec_whose_dims_do_not_rise_is_refused_with_its_line(make_model):
    with pytest.raises(SpecError, match=r"model\.yaml:5: dims\.batch: .*do not rise"):
        make_model(
            "source: {torch: 'm.py:Net'}\ninputs: {x: 'float32[batch, 16]'}\n"
            "outputs: {y: 'float32[batch, 8]'}\ndims: {batch: 8..4..2}",
            m="Net = None",
        )


@needs_rtx
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": BATCH["x"]}, "no shapes for input 'x'; it has z"),
        ({"x": ShapeRange((1, 8), (4, 8), (8, 8))}, r"is \[1\.\.8, 8\], but the ONNX file has"),
        ({"x": ShapeRange((1,), (4,), (8,))}, r"the ONNX file has \[-1, 16\]"),
    ],
)
def test_a_profile_that_does_not_fit_the_model_is_named(tmp_path, shapes, message):
    with pytest.raises(InputError, match=message):
        build(onnx_file(tmp_path / "in"), tmp_path / "out", shapes)


def test_profiles_come_from_dims_and_preferred_batches(make_model):
    spec = make_model(
        """
        source: {torch: 'm.py:Net'}
        inputs: {ids: 'int64[batch, seq]', scale: 'float32[batch]'}
        outputs: {y: 'float32[batch, 8]'}
        dims: {batch: 1..8..64, seq: 4..32..256}
        batching: {preferred: [8, 16]}
        """,
        m="Net = None",
    )
    general, sixteen = (profile.as_data() for profile in profiles_from(spec))
    assert general["ids"] == {"min": [1, 4], "opt": [8, 32], "max": [64, 256]}
    assert general["scale"] == {"min": [1], "opt": [8], "max": [64]}
    assert sixteen["ids"] == {"min": [16, 4], "opt": [16, 32], "max": [16, 256]}


@needs_rtx
def test_several_profiles_are_built_into_one_engine(tmp_path):
    fixed = {"x": ShapeRange((2, 16), (2, 16), (2, 16))}
    profiles = [OptimisationProfile(BATCH), OptimisationProfile(fixed)]
    made = build(onnx_file(tmp_path / "in"), tmp_path / "out", profiles=profiles)
    assert [profile["x"]["max"] for profile in made.details["profiles"]] == [[8, 16], [2, 16]]
    assert "2 profiles" in made.how


def test_the_narrowest_profile_that_takes_the_shapes_is_run():
    wide, two = BATCH, {"x": ShapeRange((2, 16), (2, 16), (2, 16))}
    assert choose_profile([wide, two], {"x": (2, 16)}) == 1
    assert choose_profile([wide, two], {"x": (3, 16)}) == 0
    with pytest.raises(
        ShapeRefused, match=r"'x' has shape \[9, 16\]; the engine takes \[1\.\.8, 16\]"
    ):
        choose_profile([wide, two], {"x": (9, 16)})
    with pytest.raises(ShapeRefused, match=r"has shape \[2\]"):
        choose_profile([wide], {"x": (2,)})
    small = {"a": ShapeRange((1,), (1,), (2,)), "b": ShapeRange((1,), (1,), (2,))}
    large = {"a": ShapeRange((3,), (3,), (4,)), "b": ShapeRange((3,), (3,), (4,))}
    with pytest.raises(ShapeRefused, match=r"no optimisation profile .* a \[1\], b \[4\] together"):
        choose_profile([small, large], {"a": (1,), "b": (4,)})


@needs_rtx
def test_a_time_limit_ends_the_build(tmp_path):
    with pytest.raises(Refused, match=r"did not finish within 0 s"):
        build(onnx_file(tmp_path / "in"), tmp_path / "out", time_limit=0.0)
    assert not list((tmp_path / "out").iterdir())


@needs_rtx
def test_a_full_disk_leaves_no_half_engine(tmp_path, small_disk):
    (small_disk / "ballast").write_bytes(bytes(250_000))
    with pytest.raises(HostError, match=r"no engine of .* MB could be written .*disk is full"):
        build(onnx_file(tmp_path / "in"), small_disk)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


@needs_rtx
def test_what_a_flavour_lacks_is_refused(tmp_path):
    with pytest.raises(Refused, match="builds for its own version alone"):
        build(
            onnx_file(tmp_path / "in"), tmp_path / "out", compatibility=Compatibility(versions=True)
        )


def test_a_flavour_that_is_not_here_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, RTX, None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    found = builders()
    assert found.available == ()
    assert set(found.reasons) == {RTX, "tensorrt"}
    with pytest.raises(Refused, match="package tensorrt_rtx is not installed"):
        build(onnx_file(tmp_path / "in"), tmp_path / "out")


FACTS = engine_facts.EngineFacts(
    flavour="tensorrt",
    version="10.13.3.9",
    requirement="tensorrt-cu13==10.13.3.9",
    compute_capability="9.0",
    gpu="NVIDIA H200",
    driver="580.65.06",
    cuda="13.0",
    flags=("TF32",),
    hardware_compatibility="none",
    workspace_bytes=0,
    onnx_sha256="0",
    profiles=(),
)
H200 = Gpu(0, "NVIDIA H200", "9.0", 2**37, "580.65.06", "13.0")
L4 = replace(H200, name="NVIDIA L4", compute_capability="8.9")
T4 = replace(H200, name="Tesla T4", compute_capability="7.5")
RTX_FACTS = replace(FACTS, flavour=RTX, version="1.7.1.116", compute_capability="")
COMPATIBLE = replace(FACTS, flags=("TF32", "VERSION_COMPATIBLE"))


@pytest.mark.parametrize(
    ("facts", "gpu", "installed", "why"),
    [
        (FACTS, H200, "10.13.3.9", ""),
        (FACTS, H200, "", ""),
        (FACTS, L4, "10.13.3.9", "built on NVIDIA H200 .* 9.0, and NVIDIA L4 has 8.9"),
        (FACTS, H200, "10.14.1.48", r"10\.13\.3\.9 \(pip install tensorrt-cu13==10\.13\.3\.9\)"),
        (COMPATIBLE, H200, "10.14.1.48", ""),
        (COMPATIBLE, H200, "10.9.0.34", "cannot load it"),
        (COMPATIBLE, H200, "11.4.0.106", "cannot load it"),
        (replace(FACTS, hardware_compatibility="ampere_plus"), L4, "", ""),
        (replace(FACTS, hardware_compatibility="ampere_plus"), T4, "", "8.0 or later, and Tesla"),
        (RTX_FACTS, L4, "1.7.1.116", ""),
        (RTX_FACTS, T4, "1.7.1.116", "8.0 or later, and Tesla T4 has 7.5"),
        (RTX_FACTS, L4, "1.6.1.120", "1.6.1.120 is installed, which cannot load it"),
    ],
)
def test_an_engine_is_held_to_the_machine_it_is_for(facts, gpu, installed, why):
    found = engine_facts.refusal(facts, (gpu,), installed=installed)
    assert re.search(why, found) if why else not found


def test_before_serving_the_host_is_looked_at():
    host = HostFacts(2, "a processor", 2**30, "3.11.0", {}, no_gpu="no NVIDIA driver was found")
    assert "needs an NVIDIA GPU, and no NVIDIA driver" in check_engine(FACTS.as_data(), host)
    assert check_engine(FACTS.as_data(), replace(host, gpus=(H200,))) is None
    assert "8.9" in check_engine(FACTS.as_data(), replace(host, gpus=(L4,)))
    assert "build the model again" in check_engine({"flavour": "tensorrt"}, host)
    newer = {**FACTS.as_data(), "added_later": 1}
    assert check_engine(newer, replace(host, gpus=(H200,))) is None
    two = engine_facts.refusal(FACTS, (H200, H200), device=2)
    assert "GPU 2 was asked for, and there are 2 (0 to 1)" in two
