"""``nosbuild run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosbuild.cli.options import AsJson, Url

if TYPE_CHECKING:
    import numpy as np


def run(
    name: Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")],
    input_file: Annotated[
        Path | None, typer.Option("--input", "-i", help="A JSON, npz or npy file with the inputs.")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Send random inputs.")] = False,
    batch: Annotated[int, typer.Option(help="Items in a random request.", min=1)] = 1,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Send one request to the running server and print what comes back."""
    if (input_file is None) == (not random):
        raise typer.BadParameter("name either --input FILE or --random", param_hint="--input")
    from nosbuild.cli.connect import connect
    from nosbuild.runtime.request_inputs import inputs_from_file, random_inputs_for

    client, record = connect(url)
    with client:
        info = client.get_model_info(name)
        if input_file is not None:
            inputs = inputs_from_file(input_file, info)
        else:
            repository = Path(record.repository) if record else None
            inputs = random_inputs_for(info, repository, batch)
        started = time.perf_counter()
        outputs = client.run(name, inputs)
        seconds = time.perf_counter() - started
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json({key: _plain(array) for key, array in outputs.items()})
        return
    from rich.markup import escape

    from nosbuild.cli.printing import results, table

    rows = table("", "tensor", "dtype and shape", "values")
    for direction, arrays in (("in", inputs), ("out", outputs)):
        for key, array in arrays.items():
            rows.add_row(
                f"[dim]{direction}[/]", f"[bold]{escape(key)}[/]", _shape(array), _values(array)
            )
    results().print(rows)
    results().print(f"[dim]{1000 * seconds:.1f} ms[/]")


def _shape(array: np.ndarray) -> str:
    kind = "string" if array.dtype == object else str(array.dtype)
    return f"{kind}\\[{', '.join(map(str, array.shape))}]"


def _values(array: np.ndarray) -> str:
    import numpy as np
    from rich.markup import escape

    shown = np.asarray(_plain(array), dtype=object) if array.dtype == object else array
    return escape(np.array2string(shown, precision=4, threshold=24, edgeitems=3, max_line_width=72))


def _plain(array: np.ndarray) -> object:
    """Nested lists; bytes as text."""
    if array.dtype != object:
        return array.tolist()
    flat = [v.decode(errors="replace") if isinstance(v, bytes) else v for v in array.ravel()]
    import numpy as np

    return np.array(flat, dtype=object).reshape(array.shape).tolist()
