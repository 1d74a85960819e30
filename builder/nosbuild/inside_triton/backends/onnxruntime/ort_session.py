"""An ONNX Runtime session with the options of config.pbtxt, named as NVIDIA's backend names them.

Source of the names and their meaning:
https://github.com/triton-inference-server/onnxruntime_backend#model-config-options
"""

import os
from pathlib import Path

import triton_python_backend_utils as pb_utils
from ort_providers import CPU, fallback, providers_for


def open_session(path, config, args):
    # Imported here: Triton also starts this file without a model, to complete its config.
    import onnxruntime

    providers = _providers(onnxruntime, config, args)
    try:
        session = onnxruntime.InferenceSession(
            str(path), _session_options(onnxruntime, config), providers=providers
        )
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
        raise pb_utils.TritonModelException(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path.name}: {error}"
        ) from None
    if missing := fallback(providers, session.get_providers()):
        raise pb_utils.TritonModelException(
            f"{args['model_instance_name']}: {missing}; install onnxruntime-gpu and what it needs, "
            "or write instance_group { kind: KIND_CPU }"
        )
    return session


def _providers(onnxruntime, config, args):
    if args["model_instance_kind"] != "GPU":
        return [CPU]
    if hasattr(onnxruntime, "preload_dlls"):
        # CUDA and cuDNN that pip installed lie where the system's loader does not look.
        onnxruntime.preload_dlls()
    section = config.get("optimization", {}).get("execution_accelerators", {})
    accelerators = [
        (entry["name"], entry.get("parameters", {}))
        for entry in section.get("gpu_execution_accelerator", [])
    ]
    own = {name: _parameter(config, name) for name in config.get("parameters", {})}
    try:
        return providers_for(accelerators, int(args["model_instance_device_id"]), own)
    except ValueError as error:
        raise pb_utils.TritonModelException(str(error)) from None


def _session_options(onnxruntime, config):
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = {
        -1: levels.ORT_ENABLE_BASIC,
        1: levels.ORT_ENABLE_EXTENDED,
        2: levels.ORT_DISABLE_ALL,
    }.get(level, levels.ORT_ENABLE_ALL)
    # Its warnings go to stderr, which is Triton's log; 3 is "error".
    options.log_severity_level = 3

    instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
    threads = _integer(config, "intra_op_thread_count") or max(1, _cores() // instances)
    options.intra_op_num_threads = threads
    if inter := _integer(config, "inter_op_thread_count"):
        options.inter_op_num_threads = inter
    mode = _integer(config, "execution_mode")
    if mode not in (0, 1):
        raise pb_utils.TritonModelException(f"execution_mode is {mode}; use 0 or 1")
    if mode == 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    # Within a run threads wait by spinning; after it they would go on for tens of milliseconds, and
    # take the cores from every other model.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if instances > 1 and threads > 1:
        # Threads that wait by spinning take the cores from the other instances.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    options.enable_cpu_mem_arena = bool(_integer(config, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(_integer(config, "enable_mem_pattern", 1))
    key = "session.use_device_allocator_for_initializers"
    if value := _parameter(config, key):
        options.add_session_config_entry(key, value)
    return options


def run_options(config):
    shrinkage = _parameter(config, "memory.enable_memory_arena_shrinkage")
    if not shrinkage:
        return None
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", shrinkage)
    return options


def _parameter(config, name):
    return config.get("parameters", {}).get(name, {}).get("string_value", "")


def _integer(config, name, default=0):
    text = _parameter(config, name)
    text = {"true": "1", "false": "0"}.get(text.lower(), text)
    try:
        return int(text) if text else default
    except ValueError:
        raise pb_utils.TritonModelException(
            f"parameter {name} is {text!r}; write a number"
        ) from None


def _cores():
    """Cores this process may use: its affinity, or the container's quota where that is less."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))
