"""Accelerators as config.pbtxt names them go in; ONNX Runtime's execution providers come out.

Proofs and measurements choose their providers with this same file, so that what is proven is what
is served. Source of the names, and of what each means to ONNX Runtime:
https://github.com/triton-inference-server/onnxruntime_backend#parameter-mapping-between-onnx-runtime-and-triton-onnxruntime-backend
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Options = dict[str, str]
Provider = str | tuple[str, Options]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
PROVIDERS = {"cuda": CUDA, "tensorrt": TENSORRT}
"""Triton's name of a gpu_execution_accelerator -> ONNX Runtime's name of the provider."""

_TENSORRT_NAMES = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISION_MODES = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "True"},
    "INT8": {"trt_int8_enable": "True"},
}
_SWITCHES = ("_enable", "_fallback", "_calibration_table", "_dump_subgraphs", "_build_log")
_SWITCHES_BY_NAME = ("trt_force_sequential_engine_build", "trt_force_timing_cache")
_WORDS = {"1": "True", "true": "True", "0": "False", "false": "False"}

# Parameters of the model as a whole, which NVIDIA's backend still reads.
_DEPRECATED = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "gpu_mem_limit": {},
    "do_copy_in_default_stream": {},
}


def providers_for(
    accelerators: Sequence[tuple[str, Mapping[str, str]]],
    device: int,
    parameters: Mapping[str, str] | None = None,
) -> list[Provider]:
    """Providers for a GPU, the preferred one first.

    CUDA comes after TensorRT, for what that does not take, and alone where nothing is named.

    Args:
        accelerators: name and parameters of each gpu_execution_accelerator.
        device: the GPU.
        parameters: the model's own, in which CUDA's options may stand.

    Raises:
        ValueError: an accelerator or parameter that ONNX Runtime does not have.
    """
    named = dict(accelerators)
    if unknown := sorted(set(named) - set(PROVIDERS)):
        raise ValueError(
            f"gpu_execution_accelerator {unknown[0]!r} is not one of {', '.join(PROVIDERS)}"
        )
    given = dict(parameters or {})
    options = {
        name: words.get(given[name], given[name])
        for name, words in _DEPRECATED.items()
        if given.get(name)
    }
    gpu = {"device_id": str(device)}
    providers: list[Provider] = []
    if "tensorrt" in named:
        providers.append((TENSORRT, {**gpu, **_tensorrt_options(named["tensorrt"])}))
    providers.append((CUDA, {**gpu, **options, **dict(named.get("cuda", {}))}))
    return [*providers, CPU]


def precision_parameters(precision: str) -> Options:
    """What ``tensorrt`` needs as parameters to compute in the precision of the graph."""
    mode = {"fp16": "FP16", "int8": "INT8"}.get(precision)
    return {"precision_mode": mode} if mode else {}


def fallback(asked: Sequence[Provider], running: Sequence[str]) -> str:
    """What was asked for and is not there; empty where the session runs on all of it.

    ONNX Runtime takes the next provider without a word where one does not start.
    """
    names = [provider if isinstance(provider, str) else provider[0] for provider in asked]
    if missing := [name for name in names if name not in running]:
        return (
            f"asked for {' and '.join(missing)}, ONNX Runtime runs on {' and '.join(running)}: it "
            "has no such provider here, or CUDA, cuDNN or TensorRT did not load"
        )
    return ""


def _tensorrt_options(parameters: Mapping[str, str]) -> Options:
    options: Options = {}
    for name, value in parameters.items():
        if name == "precision_mode":
            if value.upper() not in _PRECISION_MODES:
                raise ValueError(f"precision_mode is {value!r}; use FP32, FP16 or INT8")
            options |= _PRECISION_MODES[value.upper()]
            continue
        option = _TENSORRT_NAMES.get(name, name)
        if not option.startswith("trt_"):
            raise ValueError(f"tensorrt has no parameter {name!r}")
        is_switch = option.endswith(_SWITCHES) or option in _SWITCHES_BY_NAME
        options[option] = _WORDS.get(value.lower(), value) if is_switch else value
    return options
