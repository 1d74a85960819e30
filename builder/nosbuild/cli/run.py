"""``nosbuild run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nosbuild.cli.options import AsJson
from nosbuild.cli.server_options import Server, asks_a_server


@asks_a_server
def run(
    server: Server,
    name: Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")],
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="JSON, npz, npy; or a model's one string: a text, an image."
        ),
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Send random inputs.")] = False,
    batch: Annotated[int, typer.Option(help="Items in a random request.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Send one request to the running server and print what comes back."""
    if input_file is None and not random:
        raise _Usage("what shall be sent? Give --input FILE, or --random")
    if input_file is not None and random:
        raise _Usage("--input and --random exclude each other; give one of them")
    from nosbuild.cli.connect import connect
    from nosbuild.runtime.request_inputs import as_sent, inputs_from_file, random_inputs_for

    client, record = connect(server, name)
    with client:
        info = client.get_model_info(name)
        if input_file is not None:
            inputs = inputs_from_file(input_file, info)
        else:
            repository = Path(record.repository) if record else None
            inputs = random_inputs_for(info, repository, batch)
        started = time.perf_counter()
        if info.decoupled:
            with client.stream(name, inputs) as stream:
                chunks = [dict(chunk) for chunk in stream]
        elif info.sequence_batching:  # a sequence of this request alone
            chunks = [client.sequence(name).run(inputs, last=True)]
        else:
            chunks = [client.run(name, inputs)]
        seconds = time.perf_counter() - started
    if as_json:
        from nosbuild.cli.printing import print_json
        from nosbuild.cli.tensor_table import plain

        told = [{key: plain(array) for key, array in chunk.items()} for chunk in chunks]
        print_json({"chunks": told} if info.decoupled else told[0])
        return
    from nosbuild.cli.printing import results
    from nosbuild.cli.tensor_table import tensor_table

    sent = as_sent(inputs, info)
    came = {f"out {n}" if info.decoupled else "out": chunk for n, chunk in enumerate(chunks, 1)}
    console = results()
    console.print(tensor_table({"in": sent, **came}, console.width))
    counted = f"{len(chunks)} chunk{'s' * (len(chunks) != 1)}, " if info.decoupled else ""
    console.print(f"[dim]{counted}{1000 * seconds:.1f} ms[/]")


class _Usage(typer.BadParameter):
    """A usage error about several options at once: the message is all there is to say."""

    def format_message(self) -> str:
        return self.message
