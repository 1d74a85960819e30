"""The table of bad specs: what is written, and every problem that must be told."""

from __future__ import annotations

from typing import NamedTuple

TORCH = """\
name: m
source: {torch: "model.py:create"}
inputs: {x: "float32[batch, seq]"}
outputs: {y: "float32[batch, 4]"}
dims: {seq: 1..32..256}
"""
HUB = """\
name: m
source: {huggingface: "org/m"}
"""


class Row(NamedTuple):
    line: int | None
    key: str
    found: str
    remedy: str


class BadSpec(NamedTuple):
    name: str
    content: str | bytes
    problems: tuple[Row, ...]


BAD_SPECS = (
    BadSpec(
        "the file is empty",
        "",
        (Row(None, "", "the file is empty", "write at least name and source"),),
    ),
    BadSpec(
        "the file holds a list not a mapping",
        "- a\n",
        (
            Row(
                1,
                "",
                "the file holds a list, not a mapping",
                "write `key: value` lines at the top, starting with `name:`",
            ),
        ),
    ),
    BadSpec(
        "a tab where yaml allows none",
        "name: m\n\tsource: x\n",
        (Row(2, "", "a tab where YAML allows none", "indent with spaces"),),
    ),
    BadSpec(
        "byte 0xe9 is not utf 8",
        b"name: m\ndescription: caf\xe9\n",
        (Row(2, "", "byte 0xe9 is not UTF-8", "save the file with the encoding UTF-8"),),
    ),
    BadSpec(
        "name stands twice first on line 1",
        HUB + "name: m\n",
        (Row(3, "name", "stands twice, first on line 1", "keep one of the two"),),
    ),
    BadSpec(
        "the key 1 is read as a number not a string",
        HUB + "1: x\n",
        (Row(3, "", "the key 1 is read as a number, not a string", 'quote it: "1": ...'),),
    ),
    BadSpec(
        "a has the tag tag yaml org 2002 python object os x",
        HUB + "a: !!python/object:os.x {}\n",
        (
            Row(
                3,
                "a",
                "has the tag tag:yaml.org,2002:python/object:os.x",
                "write the value without a tag",
            ),
        ),
    ),
    BadSpec(
        "a 0 refers to itself",
        HUB + "a: &a [*a]\n",
        (Row(3, "a[0]", "refers to itself", "write the value out, without an alias"),),
    ),
    BadSpec(
        "a second document starts here",
        HUB + "---\nx: 1\n",
        (Row(3, "", "a second document starts here", "keep one document: remove the `---`"),),
    ),
    BadSpec(
        "is no yaml expected or but got",
        HUB + "inputs: {x: float32[batch]}\n",
        (
            Row(
                3,
                "",
                "is no YAML: expected ',' or '}', but got '['",
                'inside {...} quote what holds brackets, e.g. {ids: "int64[batch, seq]"}',
            ),
        ),
    ),
    BadSpec(
        "the control character u 0001",
        HUB + "description: \u0001\n",
        (Row(3, "", "the control character U+0001", "remove it"),),
    ),
    BadSpec(
        "name on is read as a boolean not a string",
        TORCH.replace(" m", " on"),
        (Row(1, "name", "on is read as a boolean, not a string", 'quote it: name: "on"'),),
    ),
    BadSpec(
        "name 123 is read as a number not a string",
        TORCH.replace(" m", " 123"),
        (Row(1, "name", "123 is read as a number, not a string", 'quote it: name: "123"'),),
    ),
    BadSpec(
        "name other is not the folder s name m as triton demands",
        TORCH.replace(" m", " other"),
        (
            Row(
                1,
                "name",
                "'other' is not the folder's name 'm', as Triton demands",
                "write name: m, or rename the folder to other",
            ),
        ),
    ),
    BadSpec(
        "name a b is no model name",
        TORCH.replace(" m", " 'a b'"),
        (
            Row(
                1,
                "name",
                "'a b' is no model name",
                "use letters, digits, _ . - and start with a letter or digit",
            ),
        ),
    ),
    BadSpec(
        "name is missing",
        "source: {onnx: a.onnx}\n",
        (
            Row(None, "name", "is missing", "add `name:` with the name of the model's folder"),
            Row(
                1,
                "source.onnx",
                "there is no file 'a.onnx' in the model's folder",
                "create it, or correct the path (it starts at m/)",
            ),
        ),
    ),
    BadSpec(
        "source is missing",
        "name: m\n",
        (
            Row(
                None,
                "source",
                "is missing",
                'add `source:`, e.g. source: {torch: "model.py:create"}',
            ),
        ),
    ),
    BadSpec(
        "source foo is a string not a mapping",
        TORCH.replace('{torch: "model.py:create"}', "foo"),
        (
            Row(
                2,
                "source",
                "'foo' is a string, not a mapping",
                'write e.g. source: {torch: "model.py:create"}',
            ),
        ),
    ),
    BadSpec(
        "source foo unknown source",
        TORCH.replace('torch: "model.py:create"', "foo: x"),
        (
            Row(
                2,
                "source.foo",
                "unknown source",
                "write one of torch, huggingface, onnx, sklearn, python, pipeline",
            ),
        ),
    ),
    BadSpec(
        "source has 2 kinds torch onnx",
        TORCH.replace('create"', 'create", onnx: a'),
        (Row(2, "source", "has 2 kinds: torch, onnx", "keep one of them"),),
    ),
    BadSpec(
        "source torch model py names no callable",
        TORCH.replace("py:create", "py"),
        (
            Row(
                2,
                "source.torch",
                "'model.py' names no callable",
                'write "file.py:callable", e.g. "model.py:create"',
            ),
        ),
    ),
    BadSpec(
        "source torch there is no file modle py in the model s folder",
        TORCH.replace("model", "modle"),
        (
            Row(
                2,
                "source.torch",
                "there is no file 'modle.py' in the model's folder",
                "did you mean 'model.py'?",
            ),
        ),
    ),
    BadSpec(
        "source torch x py points out of the model s folder",
        TORCH.replace("model", "../x"),
        (
            Row(
                2,
                "source.torch",
                "'../x.py' points out of the model's folder",
                "copy or link the file into m/ and write its path from there",
            ),
        ),
    ),
    BadSpec(
        "source torch a b is neither a py file nor a module",
        TORCH.replace("model.py", "a b"),
        (
            Row(
                2,
                "source.torch",
                "'a b' is neither a .py file nor a module",
                'write "file.py:callable", e.g. "model.py:create"',
            ),
        ),
    ),
    BadSpec(
        "source revision does not go with torch",
        TORCH.replace('create"', 'create", revision: x'),
        (Row(2, "source.revision", "does not go with torch", "remove it; it is for huggingface"),),
    ),
    BadSpec(
        "source init is a number not a mapping",
        TORCH.replace('create"', 'create", init: 3'),
        (
            Row(
                2,
                "source.init",
                "is a number, not a mapping",
                "write keyword arguments, e.g. init: {width: 64}",
            ),
        ),
    ),
    BadSpec(
        "inputs is missing a torch module does not tell its tensors",
        TORCH.replace("inputs", "input"),
        (
            Row(
                None,
                "inputs",
                "is missing; a torch module does not tell its tensors",
                "add inputs: {<name>: float32[batch, 3, 224, 224]}",
            ),
            Row(3, "input", "unknown key", "did you mean 'inputs'?"),
        ),
    ),
    BadSpec(
        "outputs y unknown dtype float",
        TORCH.replace('y: "float32', 'y: "float'),
        (Row(4, "outputs.y", "unknown dtype 'float'", "did you mean float32 or float64?"),),
    ),
    BadSpec(
        "outputs y unknown dtype flaot32",
        TORCH.replace('y: "float32', 'y: "flaot32'),
        (Row(4, "outputs.y", "unknown dtype 'flaot32'", "did you mean 'float32'?"),),
    ),
    BadSpec(
        "outputs y float32 batch is no tensor",
        TORCH.replace("float32[batch, 4]", "float32 batch"),
        (
            Row(
                4,
                "outputs.y",
                "'float32 batch' is no tensor",
                "write dtype[dims], e.g. float32[batch, 3, 224, 224]",
            ),
        ),
    ),
    BadSpec(
        "outputs y float32 4 batch batch must be the first axis once",
        TORCH.replace("batch, 4", "4, batch"),
        (
            Row(
                4,
                "outputs.y",
                "float32[4, batch]: batch must be the first axis, once",
                "write float32[batch, 4], or name that axis otherwise",
            ),
        ),
    ),
    BadSpec(
        "outputs y float32 4 has no batch axis but inputs x has one",
        TORCH.replace('y: "float32[batch, 4', 'y: "float32[4'),
        (
            Row(
                4,
                "outputs.y",
                "float32[4] has no batch axis, but inputs.x has one",
                "declare every input and output with batch first, or none of them",
            ),
        ),
    ),
    BadSpec(
        "outputs y 0 in float32 batch 0 is no size",
        TORCH.replace("4", "0"),
        (
            Row(
                4,
                "outputs.y",
                "'0' in 'float32[batch, 0]' is no size",
                "write a positive number, or a name for an axis that varies",
            ),
        ),
    ),
    BadSpec(
        "dims seq the axis seq of inputs x has no range",
        TORCH.replace("{seq", "{sqe"),
        (
            Row(
                5,
                "dims.seq",
                "the axis 'seq' of inputs.x has no range",
                "add it: dims: {seq: 1..32..256} (min..typical..max)",
            ),
            Row(5, "dims.sqe", "no tensor has an axis 'sqe'", "did you mean 'seq'?"),
        ),
    ),
    BadSpec(
        "dims seq the axis seq of inputs x has no range 2",
        TORCH.replace("dims: {seq: 1..32..256}\n", ""),
        (
            Row(
                3,
                "dims.seq",
                "the axis 'seq' of inputs.x has no range",
                "add it: dims: {seq: 1..32..256} (min..typical..max)",
            ),
        ),
    ),
    BadSpec(
        "dims seq 64 8 1 the sizes do not rise",
        TORCH.replace("1..32..256", "64..8..1"),
        (
            Row(
                5,
                "dims.seq",
                "'64..8..1': the sizes do not rise",
                "write min..typical..max, e.g. 1..8..64",
            ),
        ),
    ),
    BadSpec(
        "dims seq 1 8 is no range",
        TORCH.replace("32..256", ".8"),
        (
            Row(
                5,
                "dims.seq",
                "'1...8' is no range",
                "write min..typical..max, e.g. 1..32..256, or one number for a fixed size",
            ),
        ),
    ),
    BadSpec(
        "dims seq 0 4 min is 0",
        TORCH.replace("1..32..256", "0..4"),
        (Row(5, "dims.seq", "'0..4': min is 0", "write numbers of at least 1"),),
    ),
    BadSpec(
        "dims seq 1 5 is a number not a range",
        TORCH.replace(".32..256", "5"),
        (
            Row(
                5,
                "dims.seq",
                "1.5 is a number, not a range",
                "write min..typical..max, e.g. 1..32..256, or one number for a fixed size",
            ),
        ),
    ),
    BadSpec(
        "dims seq 1 8 9 is a list",
        TORCH.replace("1..32..256", "[1, 8, 9]"),
        (Row(5, "dims.seq", "[1, 8, 9] is a list", "write it as a range: 1..8..9"),),
    ),
    BadSpec(
        "dims seq 32 100 step 32 max 100 is no multiple of 32",
        TORCH.replace("1..32..256", "32..100 step 32"),
        (
            Row(
                5,
                "dims.seq",
                "'32..100 step 32': max 100 is no multiple of 32",
                "write a multiple of the step, e.g. 96",
            ),
        ),
    ),
    BadSpec(
        "dims seq 32 300 960 step 32 typical 300 is no multiple of 32",
        TORCH.replace("1..32..256", '"32..300..960 step 32"'),
        (
            Row(
                5,
                "dims.seq",
                "'32..300..960 step 32': typical 300 is no multiple of 32",
                "write a multiple of the step, e.g. 288",
            ),
        ),
    ),
    BadSpec(
        "outputs is missing a torch module does not tell its tensors",
        TORCH.replace("outputs", "out"),
        (
            Row(
                None,
                "outputs",
                "is missing; a torch module does not tell its tensors",
                "add outputs: {<name>: float32[batch, 3, 224, 224]}",
            ),
            Row(4, "out", "unknown key", "did you mean 'outputs'?"),
        ),
    ),
    BadSpec(
        "precision unknown precision fp8",
        TORCH + "precision: fp8\n",
        (
            Row(
                6,
                "precision",
                "unknown precision 'fp8'",
                "write one of fp32, fp16, bf16, int8, or auto",
            ),
        ),
    ),
    BadSpec(
        "precision 1 unknown precision 8",
        TORCH + "precision: [fp32, 8]\n",
        (
            Row(
                6,
                "precision[1]",
                "unknown precision 8",
                "write one of fp32, fp16, bf16, int8, or auto",
            ),
        ),
    ),
    BadSpec(
        "precision names a precision twice",
        TORCH + "precision: [fp32, fp32]\n",
        (Row(6, "precision", "names a precision twice", "write each once"),),
    ),
    BadSpec(
        "objective unknown objective speed",
        TORCH + "objective: speed\n",
        (
            Row(
                6,
                "objective",
                "unknown objective 'speed'",
                "write throughput, latency, or {throughput: {p99_ms: 20}}",
            ),
        ),
    ),
    BadSpec(
        "objective latency latency takes no limits",
        TORCH + "objective: {latency: {p99_ms: 3}}\n",
        (
            Row(
                6,
                "objective.latency",
                "'latency' takes no limits",
                "write throughput, latency, or {throughput: {p99_ms: 20}}",
            ),
        ),
    ),
    BadSpec(
        "objective throughput p99 ms 3 is no time in milliseconds",
        TORCH + "objective: {throughput: {p99_ms: -3}}\n",
        (
            Row(
                6,
                "objective.throughput.p99_ms",
                "-3 is no time in milliseconds",
                "write a number above 0",
            ),
        ),
    ),
    BadSpec(
        "objective throughput has no single limit p99 ms",
        TORCH + "objective: {throughput: 3}\n",
        (
            Row(
                6,
                "objective.throughput",
                "has no single limit p99_ms",
                "write throughput, latency, or {throughput: {p99_ms: 20}}",
            ),
        ),
    ),
    BadSpec(
        "quality cosine 1 5 is out of range",
        TORCH + "quality: {cosine: 1.5}\n",
        (Row(6, "quality.cosine", "1.5 is out of range", "write a number above 0 and at most 1"),),
    ),
    BadSpec(
        "quality cosin unknown metric cosin",
        TORCH + "quality: {cosin: 0.9}\n",
        (Row(6, "quality.cosin", "unknown metric 'cosin'", "did you mean 'cosine'?"),),
    ),
    BadSpec(
        "quality z there is no output z",
        TORCH + "quality: {z: {cosine: 0.9}}\n",
        (Row(6, "quality.z", "there is no output 'z'", "write one of y; or a metric"),),
    ),
    BadSpec(
        "quality y agreement does not suit y which is float32",
        TORCH + "quality: {y: {agreement: 0.9}}\n",
        (
            Row(
                6,
                "quality.y.agreement",
                "does not suit y, which is float32",
                "write e.g. relative: 1e-3",
            ),
        ),
    ),
    BadSpec(
        "quality is a number not a mapping",
        TORCH + "quality: 0.9\n",
        (
            Row(
                6,
                "quality",
                "is a number, not a mapping",
                "write bars, e.g. quality: {cosine: 0.99}",
            ),
        ),
    ),
    BadSpec(
        "quality metric py f there is no file metric py in the model",
        TORCH + "quality: {'metric.py:f': 1}\n",
        (
            Row(
                6,
                "quality.metric.py:f",
                "there is no file 'metric.py' in the model's folder",
                "create it, or correct the path (it starts at m/)",
            ),
        ),
    ),
    BadSpec(
        "quality cosine high is a string not a bar",
        TORCH + "quality: {cosine: high}\n",
        (Row(6, "quality.cosine", "'high' is a string, not a bar", "write a number"),),
    ),
    BadSpec(
        "quality has no value",
        TORCH + "quality:\n",
        (Row(6, "quality", "has no value", "give it a value, or remove the key"),),
    ),
    BadSpec(
        "samples f names no callable",
        TORCH + "samples: f\n",
        (
            Row(
                6,
                "samples",
                "'f' names no callable",
                'write "file.py:callable", e.g. "samples.py:samples"',
            ),
        ),
    ),
    BadSpec(
        "batching max delay us 1 is out of range",
        TORCH + "batching: {max_delay_us: -1, preferred: [4, 64], preserve_ordering: 3,"
        " queue: {action: drop}}\n",
        (
            Row(6, "batching.max_delay_us", "-1 is out of range", "write a number of at least 0"),
            Row(6, "batching.preserve_ordering", "3 is no boolean", "write true or false"),
            Row(6, "batching.queue.action", "'drop' is unknown", "write one of reject, delay"),
        ),
    ),
    BadSpec(
        "batching preferred 1 64 is above the largest batch 32",
        TORCH + "batching: {preferred: [4, 64]}\n",
        (
            Row(
                6,
                "batching.preferred[1]",
                "64 is above the largest batch, 32",
                "write at most 32, or raise dims.batch",
            ),
        ),
    ),
    BadSpec(
        "batching max delay unknown key",
        TORCH + "batching: {max_delay: 4}\n",
        (Row(6, "batching.max_delay", "unknown key", "did you mean 'max_delay_us'?"),),
    ),
    BadSpec(
        "batching default priority 4 but there are no priority levels",
        TORCH + "batching: {default_priority: 4}\n",
        (
            Row(
                6,
                "batching.default_priority",
                "4, but there are no priority levels",
                "add priority_levels",
            ),
        ),
    ),
    BadSpec(
        "batching default priority 0 is no priority level",
        TORCH + "batching: {priority_levels: 4}\n",
        (Row(6, "batching.default_priority", "0 is no priority level", "write one of 1 to 4"),),
    ),
    BadSpec(
        "batching auto is not supported by this version yet",
        TORCH + "batching: auto\n",
        (Row(6, "batching", "'auto' is not supported by this version yet", "leave batching out"),),
    ),
    BadSpec(
        "batching 5 is no mapping",
        TORCH + "batching: 5\n",
        (Row(6, "batching", "5 is no mapping", "write `key: value` entries"),),
    ),
    BadSpec(
        "instances 0 is no number of instances",
        TORCH + "instances: 0\n",
        (
            Row(
                6,
                "instances",
                "0 is no number of instances",
                "write auto, a number of at least 1, or {count: ..., kind: cpu}",
            ),
        ),
    ),
    BadSpec(
        "instances count 0 is no number of instances",
        TORCH + "instances: {count: 0, kind: tpu}\n",
        (
            Row(
                6,
                "instances.count",
                "0 is no number of instances",
                "write auto, or a number of at least 1",
            ),
            Row(6, "instances.kind", "'tpu' is unknown", "did you mean 'gpu'?"),
        ),
    ),
    BadSpec(
        "instances gpus does not go with kind cpu",
        TORCH + "instances: {kind: cpu, gpus: [0]}\n",
        (Row(6, "instances.gpus", "does not go with kind: cpu", "remove it, or write kind: gpu"),),
    ),
    BadSpec(
        "instances count two is no number of instances",
        TORCH + "instances: {count: two}\n",
        (
            Row(
                6,
                "instances.count",
                "'two' is no number of instances",
                "write auto, or a number of at least 1",
            ),
        ),
    ),
    BadSpec(
        "max execution seconds 0 is out of range",
        TORCH + "max_execution_seconds: 0\n",
        (
            Row(
                6,
                "max_execution_seconds",
                "0 is out of range",
                "write a number of seconds from 0.1 to 86400, e.g. 30",
            ),
        ),
    ),
    BadSpec(
        "max execution seconds 100000 too long",
        TORCH + "max_execution_seconds: 100000\n",
        (
            Row(
                6,
                "max_execution_seconds",
                "100000 is out of range",
                "write a number of seconds from 0.1 to 86400, e.g. 30",
            ),
        ),
    ),
    BadSpec(
        "max execution seconds nan not a number",
        TORCH + "max_execution_seconds: .nan\n",
        (
            Row(
                6,
                "max_execution_seconds",
                "nan is out of range",
                "write a number of seconds from 0.1 to 86400, e.g. 30",
            ),
        ),
    ),
    BadSpec(
        "max execution seconds 30s no number of seconds",
        TORCH + "max_execution_seconds: 30s\n",
        (
            Row(
                6,
                "max_execution_seconds",
                "'30s' is no number of seconds",
                "write a number of seconds from 0.1 to 86400, e.g. 30",
            ),
        ),
    ),
    BadSpec(
        "max execution seconds true yes",
        TORCH + "max_execution_seconds: true\n",
        (
            Row(
                6,
                "max_execution_seconds",
                "True is no number of seconds",
                "write a number of seconds from 0.1 to 86400, e.g. 30",
            ),
        ),
    ),
    BadSpec(
        "version policy unknown policy newest",
        TORCH + "version_policy: newest\n",
        (
            Row(
                6,
                "version_policy",
                "unknown policy 'newest'",
                "write latest, all, {latest: 2}, or {specific: [1, 3]}",
            ),
        ),
    ),
    BadSpec(
        "version policy latest 0 is not a number of at least 1",
        TORCH + "version_policy: {latest: 0}\n",
        (
            Row(
                6,
                "version_policy.latest",
                "0 is not a number of at least 1",
                "write latest, all, {latest: 2}, or {specific: [1, 3]}",
            ),
        ),
    ),
    BadSpec(
        "version policy lates unknown policy",
        TORCH + "version_policy: {lates: 1}\n",
        (Row(6, "version_policy.lates", "unknown policy", "did you mean 'latest'?"),),
    ),
    BadSpec(
        "version policy 3 is a number not a policy",
        TORCH + "version_policy: 3\n",
        (
            Row(
                6,
                "version_policy",
                "3 is a number, not a policy",
                "write latest, all, {latest: 2}, or {specific: [1, 3]}",
            ),
        ),
    ),
    BadSpec(
        "response cache yes is no boolean",
        TORCH + "response_cache: 'yes'\n",
        (Row(6, "response_cache", "yes is no boolean", "write true or false"),),
    ),
    BadSpec(
        "raw max batch size nosbuild derives this field",
        TORCH + "raw: {max_batch_size: 3, instanceGroup: [], x: 1}\n",
        (
            Row(
                6,
                "raw.max_batch_size",
                "nosbuild derives this field",
                "set it with `dims`, e.g. dims: {batch: 1..8..64}",
            ),
            Row(6, "raw.instanceGroup", "nosbuild derives this field", "set it with `instances`"),
        ),
    ),
    BadSpec(
        "raw 3 is no mapping",
        TORCH + "raw: 3\n",
        (Row(6, "raw", "3 is no mapping", "write `key: value` entries"),),
    ),
    BadSpec(
        "build requirements torch is no list",
        TORCH + "build_requirements: torch\n",
        (Row(6, "build_requirements", "torch is no list", "write a list: [...]"),),
    ),
    BadSpec(
        "build requirements 0 r x is no pip requirement",
        TORCH + "build_requirements: ['-r x']\n",
        (
            Row(
                6,
                "build_requirements[0]",
                "'-r x' is no pip requirement",
                "write e.g. some-package==1.2.0",
            ),
        ),
    ),
    BadSpec(
        "description 5 is read as a number not a string",
        TORCH + "description: 5\n",
        (
            Row(
                6,
                "description",
                "5 is read as a number, not a string",
                'quote it: description: "5"',
            ),
        ),
    ),
    BadSpec(
        "description a list is no string",
        TORCH + "description: [a]\n",
        (Row(6, "description", "a list is no string", "write a string"),),
    ),
    BadSpec(
        "inputs x range 3 is above 1",
        TORCH.replace(
            '"float32[batch, seq]"',
            '{tensor: "float32[batch, seq]", range: [3, 1]}, z: {tensro: 1},'
            ' w: {tensor: "int8[batch]", range: [0, 300]}',
        ),
        (
            Row(3, "inputs.x.range", "3 is above 1", "write [1, 3]"),
            Row(3, "inputs.z.tensro", "unknown key", "did you mean 'tensor'?"),
            Row(3, "inputs.z.tensor", "is missing", "add `tensor: float32[batch, 3, 224, 224]`"),
            Row(
                3,
                "inputs.w.range",
                "[0, 300] does not fit int8",
                "stay between -128 and 127, or take another dtype",
            ),
        ),
    ),
    BadSpec(
        "source huggingface there is no folder m",
        'name: m\nsource: {huggingface: "./m"}\n',
        (
            Row(
                2,
                "source.huggingface",
                "there is no folder './m'",
                'write an existing folder, "package:subfolder", or a hub id "org/name"',
            ),
        ),
    ),
    BadSpec(
        "source onnx there is no file m onnx in the model s folder",
        "name: m\nsource: {onnx: m.onnx}\n",
        (
            Row(
                2,
                "source.onnx",
                "there is no file 'm.onnx' in the model's folder",
                "create it, or correct the path (it starts at m/)",
            ),
        ),
    ),
    BadSpec(
        "source onnx m onnx in pkg m onnx is no path inside the packa",
        'name: m\nsource: {onnx: "pkg:../m.onnx"}\n',
        (
            Row(
                2,
                "source.onnx",
                "'../m.onnx' in 'pkg:../m.onnx' is no path inside the package",
                'write "package:path/inside/it"',
            ),
        ),
    ),
    BadSpec(
        "byte 0x80 is not utf 8",
        b"name: m\nx: \x80\n",
        (Row(2, "", "byte 0x80 is not UTF-8", "save the file with the encoding UTF-8"),),
    ),
)
