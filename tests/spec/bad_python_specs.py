"""Python classes: what is written, and every problem that must be told."""

from __future__ import annotations

from bad_specs import BadSpec, Row

PYTHON = """\
name: m
source: {python: "model.py:Summary"}
"""
CALLER = """\
name: m
source: {python: "model.py:Caller", init: {width: 2}}
models: [other]
methods: [read]
"""

PYTHON_SPECS = (
    BadSpec(
        "a class misspelt",
        PYTHON.replace("Summary", "Sumary"),
        (Row(2, "source.python", "model.py has no class 'Sumary'", "did you mean 'Summary'?"),),
    ),
    BadSpec(
        "a class within a class misspelt",
        PYTHON.replace("Summary", "Outer.Iner"),
        (Row(2, "source.python", "model.py has no class 'Iner'", "did you mean 'Inner'?"),),
    ),
    BadSpec(
        "a function in place of a class",
        PYTHON.replace("Summary", "create"),
        (
            Row(
                2,
                "source.python",
                "'create' in model.py is a function, not a class",
                "write one of Summary, Caller, Child, Outer, Fallback",
            ),
        ),
    ),
    BadSpec(
        "a file without a class's name",
        PYTHON.replace(":Summary", ""),
        (
            Row(
                2,
                "source.python",
                "'model.py' names no class",
                'write "file.py:Class", e.g. "model.py:Summary"',
            ),
        ),
    ),
    BadSpec(
        "no such file of the class",
        PYTHON.replace("model", "modle"),
        (
            Row(
                2,
                "source.python",
                "there is no file 'modle.py' in the model's folder",
                "did you mean 'model.py'?",
            ),
        ),
    ),
    BadSpec(
        "a file that is no Python",
        PYTHON.replace("model", "broken"),
        (
            Row(
                2,
                "source.python",
                "broken.py:2 is no Python: expected ':'",
                "correct line 2 of broken.py",
            ),
        ),
    ),
    BadSpec(
        "a source that is no string",
        PYTHON.replace('"model.py:Summary"', "[a]"),
        (
            Row(
                2,
                "source.python",
                "is a list, not a string",
                'write e.g. python: "model.py:Summary"',
            ),
        ),
    ),
    BadSpec(
        "a revision of a class",
        PYTHON.replace('"}', '", revision: x}'),
        (Row(2, "source.revision", "does not go with python", "remove it; it is for huggingface"),),
    ),
    BadSpec(
        "an argument that the class does not take",
        PYTHON.replace('"}', '", init: {sentence: 2}}'),
        (
            Row(
                2,
                "source.init.sentence",
                "Summary.__init__ (model.py:6) takes no 'sentence'",
                "did you mean 'sentences'?",
            ),
        ),
    ),
    BadSpec(
        "an argument that the server gives",
        PYTHON.replace('"}', '", init: {device: cpu, models: x}}'),
        (
            Row(
                2,
                "source.init.device",
                "is given by the server",
                "remove it; `instances: {kind: cpu}` says where the model runs",
            ),
            Row(
                2,
                "source.init.models",
                "is given by the server",
                "remove it; `models: [...]` names the models that the class calls",
            ),
        ),
    ),
    BadSpec(
        "an argument that is missing",
        CALLER.replace("{width: 2}", "{depth: 2}"),
        (
            Row(
                2,
                "source.init.width",
                "is missing; Caller.__init__ (model.py:16) has no default",
                "add init: {width: ...}, or give it a default in the class",
            ),
        ),
    ),
    BadSpec(
        "models that are missing",
        CALLER.replace("models: [other]\n", ""),
        (
            Row(
                2,
                "models",
                "is missing; Caller.__init__ (model.py:16) takes models",
                "name the models that the class calls: models: [...]",
            ),
        ),
    ),
    BadSpec(
        "models that the class does not take",
        PYTHON + "models: [other]\n",
        (
            Row(
                3,
                "models",
                "Summary.__init__ (model.py:6) has no parameter 'models'",
                "add it, and call them through it: self.models.<name>(...)",
            ),
        ),
    ),
    BadSpec(
        "a model that calls itself",
        CALLER.replace("[other]", "[m]"),
        (
            Row(
                3,
                "models[0]",
                "'m' is this model itself, which would wait for itself",
                "remove it, and call the method directly",
            ),
        ),
    ),
    BadSpec(
        "models with impossible names",
        CALLER.replace("[other]", "[other, 'a b', other, 3]"),
        (
            Row(3, "models[3]", "3 is read as a number, not a string", 'quote it: "3"'),
            Row(
                3,
                "models[1]",
                "'a b' is no model name",
                "use letters, digits, _ . - and start with a letter or digit",
            ),
            Row(3, "models[2]", "'other' stands twice", "write each once"),
        ),
    ),
    BadSpec(
        "no method where the class has no call",
        CALLER.replace("methods: [read]\n", ""),
        (
            Row(
                2,
                "methods",
                "is missing, and Caller (model.py:15) has no __call__",
                "add methods: [read]",
            ),
        ),
    ),
    BadSpec(
        "a method misspelt",
        PYTHON + "methods: [__call__, steam]\n",
        (
            Row(
                3,
                "methods[1]",
                "Summary (model.py:5) has no method 'steam'",
                "did you mean 'stream'?",
            ),
        ),
    ),
    BadSpec(
        "a method that nothing is like",
        CALLER.replace("[read]", "[forward]"),
        (
            Row(
                4, "methods[0]", "Caller (model.py:15) has no method 'forward'", "write one of read"
            ),
        ),
    ),
    BadSpec(
        "a method of a dataclass misspelt",
        PYTHON.replace("Summary", "Fallback") + "methods: [__cal__]\n",
        (
            Row(
                3,
                "methods[0]",
                "Fallback (model.py:32) has no method '__cal__'",
                "did you mean '__call__'?",
            ),
        ),
    ),
    BadSpec(
        "an empty list of methods",
        PYTHON + "methods: []\n",
        (
            Row(
                3,
                "methods",
                "is an empty list",
                "remove the key to serve __call__, or name methods",
            ),
        ),
    ),
    BadSpec(
        "a method twice",
        PYTHON + "methods: [stream, stream]\n",
        (Row(3, "methods", "names 'stream' twice", "write each once"),),
    ),
    BadSpec(
        "methods that are no list",
        PYTHON + "methods: stream\n",
        (Row(3, "methods", "stream is no list", "write a list: [...]"),),
    ),
    BadSpec(
        "methods that cannot be served",
        PYTHON + "methods: [3, a b, ready, tick, close, __init__]\n",
        (
            Row(3, "methods[0]", "3 is read as a number, not a string", 'quote it: "3"'),
            Row(
                3,
                "methods[1]",
                "'a b' is no method's name",
                "write the name of a method, in letters, digits and _",
            ),
            Row(3, "methods[2]", "Summary.ready is a property", "make it a method"),
            Row(
                3,
                "methods[3]",
                "Summary.tick (model.py:12) takes no argument",
                "give it an argument; a request has at least one input",
            ),
            Row(3, "methods[4]", "'close' is called when the model is unloaded", "remove it"),
            Row(3, "methods[5]", "'__init__' is called by Python, not by clients", "remove it"),
        ),
    ),
    BadSpec(
        "an input that no method takes",
        PYTHON + "inputs: {txt: 'string[]'}\n",
        (Row(3, "inputs.txt", "Summary.__call__ takes no argument 'txt'", "did you mean 'text'?"),),
    ),
    BadSpec(
        "an input that is batched in the middle",
        PYTHON + "inputs: {text: 'string[seq, batch]'}\n",
        (
            Row(
                3,
                "inputs.text",
                "string[seq, batch]: batch must be the first axis, once",
                "write string[batch, seq], or name that axis otherwise",
            ),
        ),
    ),
    BadSpec(
        "a requirement with one equals sign",
        PYTHON + "requirements: [six=1.16]\n",
        (
            Row(
                3,
                "requirements[0]",
                "'six=1.16' is no pip requirement",
                "did you mean 'six==1.16'?",
            ),
        ),
    ),
    BadSpec(
        "a requirement cut off",
        PYTHON + "requirements: ['six>=', '']\n",
        (
            Row(
                3,
                "requirements[0]",
                "'six>=' is no pip requirement",
                "write e.g. some-package>=1.2",
            ),
            Row(3, "requirements[1]", "'' is no pip requirement", "write e.g. some-package>=1.2"),
        ),
    ),
    BadSpec(
        "a requirement without numpy 1",
        PYTHON + "requirements: [six, 'numpy>=2']\n",
        (
            Row(
                3,
                "requirements[1]",
                (
                    "'numpy>=2' excludes numpy 1, but with numpy 2 the Python backend "
                    "of Triton 2.51 corrupts tensors"
                ),
                "write numpy>=1.26,<2, or leave numpy out (it is always there)",
            ),
        ),
    ),
    BadSpec(
        "other ways to exclude numpy 1",
        PYTHON + "requirements: [NumPy==2.1, numpy~=2.0, 'numpy>1.26.4,!=1.27']\n",
        (
            Row(
                3,
                "requirements[0]",
                (
                    "'NumPy==2.1' excludes numpy 1, but with numpy 2 the Python backend "
                    "of Triton 2.51 corrupts tensors"
                ),
                "write numpy>=1.26,<2, or leave numpy out (it is always there)",
            ),
            Row(
                3,
                "requirements[1]",
                (
                    "'numpy~=2.0' excludes numpy 1, but with numpy 2 the Python backend "
                    "of Triton 2.51 corrupts tensors"
                ),
                "write numpy>=1.26,<2, or leave numpy out (it is always there)",
            ),
            Row(
                3,
                "requirements[2]",
                (
                    "'numpy>1.26.4,!=1.27' excludes numpy 1, but with numpy 2 the "
                    "Python backend of Triton 2.51 corrupts tensors"
                ),
                "write numpy>=1.26,<2, or leave numpy out (it is always there)",
            ),
        ),
    ),
    BadSpec(
        "numpy 2 by a marker that holds",
        PYTHON + "python: '3.12'\nrequirements: [numpy>=2; python_version >= '3.12']\n",
        (
            Row(
                4,
                "requirements[0]",
                (
                    "\"numpy>=2; python_version >= '3.12'\" excludes numpy 1, but with "
                    "numpy 2 the Python backend of Triton 2.51 corrupts tensors"
                ),
                "write numpy>=1.26,<2, or leave numpy out (it is always there)",
            ),
        ),
    ),
    BadSpec(
        "options of pip",
        PYTHON + "requirements: [-r a.txt, '--index-url=https://x', -e ., --pre]\n",
        (
            Row(
                3,
                "requirements[0]",
                "-r is an option of pip, not a requirement",
                "write the file's name alone: requirements: requirements.txt",
            ),
            Row(
                3,
                "requirements[1]",
                "--index-url is an option of pip, not a requirement",
                (
                    "tell pip itself where to look: pip config set, or PIP_INDEX_URL in "
                    "the environment"
                ),
            ),
            Row(
                3,
                "requirements[2]",
                "-e is an option of pip, not a requirement",
                ("write some-package @ https://..., or put its code beside the model.yaml"),
            ),
            Row(3, "requirements[3]", "--pre is an option of pip, not a requirement", "remove it"),
        ),
    ),
    BadSpec(
        "a requirement with hashes",
        PYTHON + "requirements: ['six==1.16.0 --hash=sha256:00']\n",
        (
            Row(
                3,
                "requirements[0]",
                "'six==1.16.0' with hashes",
                ("remove the hashes; the build writes those of what it installed into nos.lock"),
            ),
        ),
    ),
    BadSpec(
        "requirements from version control",
        PYTHON + "requirements: [x @ git+https://example.org/x, hg+https://example.org/y]\n",
        (
            Row(
                3,
                "requirements[0]",
                "'x @ git+https://example.org/x' comes from version control, which has no sha256 "
                "to lock",
                "name a wheel or an archive: some-package @ https://...",
            ),
            Row(
                3,
                "requirements[1]",
                "'hg+https://example.org/y' comes from version control, which has no sha256 to "
                "lock",
                "name a wheel or an archive: some-package @ https://...",
            ),
        ),
    ),
    BadSpec(
        "requirements that name no package",
        PYTHON + "requirements: [./x.whl, x @ ./x.whl, 'https://example.org/y', z.tar.gz]\n",
        (
            Row(
                3,
                "requirements[0]",
                "'./x.whl' names no package",
                "write its name first: some-package @ https://...",
            ),
            Row(3, "requirements[1]", "'./x.whl' is no URL", "write x @ https://..."),
            Row(
                3,
                "requirements[2]",
                "'https://example.org/y' names no package",
                "write its name first: some-package @ https://example.org/y",
            ),
            Row(
                3,
                "requirements[3]",
                "'z.tar.gz' names no package",
                "write its name first: some-package @ https://...",
            ),
        ),
    ),
    BadSpec(
        "requirements of wrong types",
        PYTHON + "requirements: [3, {a: b}]\n",
        (
            Row(
                3,
                "requirements[0]",
                "is a number, not a requirement",
                "write e.g. some-package>=1.2",
            ),
            Row(
                3,
                "requirements[1]",
                "is a mapping, not a requirement",
                "write e.g. some-package>=1.2",
            ),
        ),
    ),
    BadSpec(
        "requirements that are a mapping",
        PYTHON + "requirements: {six: 1}\n",
        (
            Row(
                3,
                "requirements",
                "is a mapping, not a list",
                ("write a list, e.g. requirements: [some-package>=1.2], or a file's name"),
            ),
        ),
    ),
    BadSpec(
        "one requirement in place of a list",
        PYTHON + "requirements: nltk>=3.9\n",
        (
            Row(
                3,
                "requirements",
                "'nltk>=3.9' is no file of the model's folder",
                "write a list: requirements: [nltk>=3.9]",
            ),
        ),
    ),
    BadSpec(
        "a requirements file misspelt",
        PYTHON + "requirements: requirement.txt\n",
        (
            Row(
                3,
                "requirements",
                "there is no file 'requirement.txt' in the model's folder",
                "did you mean 'requirements.txt'?",
            ),
        ),
    ),
    BadSpec(
        "a requirements file elsewhere",
        PYTHON + "requirements: ../requirements.txt\n",
        (
            Row(
                3,
                "requirements",
                "'../requirements.txt' points out of the model's folder",
                "copy or link the file into m/ and write its path from there",
            ),
        ),
    ),
    BadSpec(
        "a bad requirements file",
        PYTHON + "requirements: bad.txt\n",
        (
            Row(
                3,
                "requirements",
                "bad.txt:2: --index-url is an option of pip, not a requirement",
                (
                    "tell pip itself where to look: pip config set, or PIP_INDEX_URL in "
                    "the environment"
                ),
            ),
            Row(
                3,
                "requirements",
                "bad.txt:4: 'nump y' is no pip requirement",
                "write e.g. some-package>=1.2",
            ),
            Row(
                3,
                "requirements",
                "loop.txt:1: the files read each other: bad.txt -> loop.txt -> bad.txt",
                "remove one of the -r",
            ),
            Row(
                3,
                "requirements",
                "bad.txt:6: '../out.txt' points out of the model's folder",
                "copy or link the file into m/ and write its path from there",
            ),
            Row(
                3,
                "requirements",
                "bad.txt:7: -c is an option of pip, not a requirement",
                "write the versions as requirements: some-package==1.2",
            ),
        ),
    ),
    BadSpec(
        "a version of Python read as a number",
        PYTHON + "python: 3.10\n",
        (Row(3, "python", "3.10 is read as a number, not a string", 'quote it: python: "3.10"'),),
    ),
    BadSpec(
        "a version of Python too precise",
        PYTHON + "python: '3.11.4'\n",
        (
            Row(
                3,
                "python",
                "'3.11.4' is no Python that models are served with",
                'did you mean "3.11"?',
            ),
        ),
    ),
    BadSpec(
        "a version of Python without numpy 1",
        PYTHON + "python: '3.13'\n",
        (
            Row(
                3,
                "python",
                "'3.13' is no Python that models are served with",
                'write one of "3.10", "3.11", "3.12"',
            ),
        ),
    ),
    BadSpec(
        "system site that is no boolean",
        PYTHON + "system_site: 'no'\n",
        (Row(3, "system_site", "no is no boolean", "write true or false"),),
    ),
    BadSpec(
        "padding that is no mapping",
        PYTHON + "pad: 0\n",
        (
            Row(
                3,
                "pad",
                "is a number, not a mapping",
                "write a value for each tensor to fill up, e.g. pad: {input_ids: 0}",
            ),
        ),
    ),
    BadSpec(
        "padding by a list",
        PYTHON + "pad: {text: [1]}\n",
        (
            Row(
                3,
                "pad.text",
                "is a list, not a value to fill up with",
                "write one number or string",
            ),
        ),
    ),
    BadSpec(
        "padding of a tensor that is not there",
        PYTHON + "pad: {txet: ' '}\n",
        (
            Row(
                3,
                "pad.txet",
                "Summary.__call__ has no input and no output 'txet'",
                "did you mean 'text'?",
            ),
        ),
    ),
    BadSpec(
        "padding of an output under another name",
        PYTHON + "outputs: {short: 'string[n]'}\npad: {output: ''}\n",
        (
            Row(
                4,
                "pad.output",
                "Summary.__call__ has no input and no output 'output'",
                "write one of text, short",
            ),
        ),
    ),
    BadSpec(
        "padding of an output of one shape",
        PYTHON + "outputs: {short: 'string[2]'}\npad: {short: ''}\n",
        (
            Row(
                4,
                "pad.short",
                "string[2] has one shape, so there is nothing to fill up",
                "remove it, or name an axis that varies",
            ),
        ),
    ),
    BadSpec(
        "padding of an output of another type",
        PYTHON + "outputs: {short: 'float32[n]'}\npad: {short: ''}\n",
        (Row(4, "pad.short", "'' is a string, but short is float32", "write e.g. short: 0"),),
    ),
    BadSpec(
        "padding of one shape",
        PYTHON + "inputs: {text: 'string[batch]'}\npad: {text: ''}\n",
        (
            Row(
                4,
                "pad.text",
                "string[batch] has one shape, so there is nothing to fill up",
                "remove it, or name an axis that varies",
            ),
        ),
    ),
    BadSpec(
        "padding of another type",
        PYTHON + "inputs: {text: 'string[batch, n]'}\npad: {text: 0}\n",
        (Row(4, "pad.text", "0 is a number, but text is string", 'write e.g. text: ""'),),
    ),
    BadSpec(
        "padding out of range",
        PYTHON + "inputs: {text: 'uint8[n]'}\npad: {text: -1}\n",
        (Row(4, "pad.text", "-1 does not fit uint8", "write a number from 0 to 255"),),
    ),
    BadSpec(
        "keys that do not go with a class",
        PYTHON + "precision: fp8\nobjective: latency\nstate: {a: b}\n",
        (
            Row(
                3,
                "precision",
                "does not go with source: {python: ...}",
                "remove it; it is for torch, huggingface, onnx and sklearn",
            ),
            Row(
                4,
                "objective",
                "does not go with source: {python: ...}",
                "remove it; it is for torch, huggingface, onnx and sklearn",
            ),
            Row(
                5,
                "state",
                "does not go with source: {python: ...}",
                "remove it; it is for torch and onnx",
            ),
        ),
    ),
)
