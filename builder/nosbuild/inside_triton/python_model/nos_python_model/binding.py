"""``binding.json`` of a version folder: which method of which class its Triton model is, and how.

    {"format": 1,
     "reference": "model.py:Summary",        the user's class, under source/
     "init": {"sentences": 2},               arguments of __init__
     "given": {"device": true, "models": false},     arguments that the adapter gives to it
     "close": true,                          the class has close()
     "method": "summarize",                  its name
     "inputs": [...], "outputs": [...], "takes": "batch", "form": "value", "records": false,
     "is_async": false, "streams": false,    what describe() says of that method
     "batched": true,                        max_batch_size is above 0: tensors have a batch axis
     "pad": {"ids": 0},                      input or output -> value that fills up unequal shapes
     "models": {"ocr_recognize": {"inputs": {"image": {"dtype": "float32", "shape": [-1, 3]}},
                                  "decoupled": false, "legs": false}}}

``models`` are those that the class may call, with the shapes of whole tensors; what is said of one
may be left out ({}): plain Python values are then sent as numpy makes them.
"""

import json

FORMAT = 1
FILE = "binding.json"


def make_binding(description, reference, method, *, init, batched, pad, models):
    """The binding of one method, from what ``describe`` returned for the class."""
    return {
        "format": FORMAT,
        "reference": reference,
        "init": dict(init),
        "given": description["init"],
        "close": description["close"],
        "method": method,
        **description["methods"][method],
        "batched": batched,
        "pad": dict(pad),
        "models": dict(models),
    }


def write_binding(folder, binding):
    text = json.dumps(binding, indent=1, sort_keys=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_binding(folder):
    """The binding of a version folder.

    Raises:
        ValueError: written by another nosbuild, in a format that these files do not know.
    """
    binding = json.loads((folder / FILE).read_text(encoding="utf-8"))
    if binding.get("format") != FORMAT:
        raise ValueError(
            f"{folder / FILE} has format {binding.get('format')}, its adapter knows {FORMAT}; "
            "build the model again"
        )
    return binding
