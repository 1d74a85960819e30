"""A model's configuration goes in; the one that it is loaded with comes out.

Triton takes a whole ModelConfig as JSON with a load, and then keeps to it. Where nothing but the
number of instances differs from what is loaded, it starts or ends instances in place, and the
others go on.
"""

import copy

_RESTARTS = "nosbuild_restarts"
"""Parameter that tells Triton that a load is to be one, though all else is the same."""


def override(config, instances=None, restarts=0):
    """The configuration with so many instances.

    Args:
        config: JSON of a ModelConfig.
        instances: in all its groups together; None: as it says.
        restarts: of the model until now.
    """
    new = copy.deepcopy(config)
    if instances is not None:
        groups = new.get("instance_group") or [{"kind": "KIND_AUTO"}]
        new["instance_group"] = _shared_out(groups, instances)
    if restarts:
        new.setdefault("parameters", {})[_RESTARTS] = {"string_value": str(restarts)}
    return new


def instances_of(config):
    """How many a version has; 0 where that is for Triton to say."""
    groups = config.get("instance_group") or []
    if any(group.get("kind") == "KIND_GPU" and not group.get("gpus") for group in groups):
        return 0  # on each GPU that there is
    return sum(_count(group) * (len(group.get("gpus") or ()) or 1) for group in groups)


def versions_of(config):
    """How many are served at once; 0 where that is for the folders to say."""
    policy = config.get("version_policy") or {"latest": {}}
    if "specific" in policy:
        return len(policy["specific"].get("versions") or ())
    if "latest" in policy:
        return int(policy["latest"].get("num_versions") or 1)
    return 0


def is_ensemble(config):
    """Whether it is made of other models, and has no instance of its own."""
    return config.get("platform") == "ensemble" or "ensemble_scheduling" in config


def _count(group):
    return int(group.get("count") or 1)


def _shared_out(groups, instances):
    """Groups with so many instances in all, as even as can be over them and their GPUs."""
    places = [place for group in groups for place in _by_gpu(group)]
    least, more = divmod(instances, len(places))
    counts = [least + (position < more) for position in range(len(places))]
    return [{**place, "count": count} for place, count in zip(places, counts, strict=True) if count]


def _by_gpu(group):
    gpus = group.get("gpus") or ()
    if len(gpus) < 2:
        return [group]
    unnamed = {key: value for key, value in group.items() if key != "name"}
    return [{**unnamed, "gpus": [gpu]} for gpu in gpus]
