"""Built models on the disk, as far as a placement reads them."""

from nosbuild.repository.lock import Lock

GIB = 2**30
GPU = 'backend: "tensorrt" instance_group { count: 1 kind: KIND_GPU }'
CPU = 'backend: "onnxruntime" instance_group { count: 2 kind: KIND_CPU }'


def lock_of(name, memory=None, variant="tensorrt-fp16"):
    """What a build leaves, as far as a placement reads it."""
    digests = dict.fromkeys(("identity", "spec_digest", "interface", "config_sha256"), "")
    parts = {part: {} for part in ("artifact", "steps", "read", "libraries", "host", "proof")}
    return Lock(
        model=name, version=1, variant=variant, memory=memory, nosbuild="", **digests, **parts
    )


def measured(items_per_second, instances=1):
    """A report as older versions wrote it: the published variant's speed alone."""
    row = {"threads": 1, "batch": 8, "items_per_second": items_per_second, "p99_ms": 1.0}
    return {
        "latencies": [],
        "throughputs": [{"instances": instances, **row}],
        "instances": instances,
        "threads": 1,
        "why": "",
    }
