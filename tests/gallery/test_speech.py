"""silero_vad: a stream of audio, a chunk at a time; the server keeps what the network remembers."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nosbuild
from nosbuild import hub
from nosbuild.prove import prove_served
from nosclient import Client, InvalidInput

CHUNK, RATE = 512, 16000


@pytest.fixture(scope="module")
def speech(task):
    return task("silero_vad", "speech")


@pytest.fixture(scope="module")
def recording(task):
    return task("silero_vad", "samples").recording()


@pytest.fixture(scope="module")
def silero():
    """The package's own way to run its network, chunk after chunk."""
    import torch

    threads = torch.get_num_threads()
    import silero_vad  # which takes all threads but one from PyTorch

    torch.set_num_threads(threads)
    return silero_vad, silero_vad.load_silero_vad(onnx=True)


@pytest.fixture(scope="module")
def clip(recording):
    """Nothing, someone speaking, nothing, someone speaking, nothing."""
    noise = np.random.default_rng(7).normal(0, 1e-4, 10 * RATE).astype(np.float32)
    clip = noise[: 9 * RATE].copy()
    clip[int(1.5 * RATE) : int(3.5 * RATE)] += recording[: 2 * RATE]
    clip[6 * RATE : int(7.5 * RATE)] += recording[4 * RATE : int(5.5 * RATE)]
    return clip


class TestAudioInAndOut:
    def test_chunks_fill_up_the_last(self, speech):
        found = list(speech.chunks(np.ones(CHUNK + 3, np.float32)))
        assert [chunk.shape for chunk in found] == [(CHUNK,), (CHUNK,)]
        assert found[1].sum() == 3

    @pytest.mark.parametrize(
        ("probabilities", "found"),
        [
            ([], []),
            ([0.1] * 20, []),
            ([0.9] * 20, [(0, 20)]),
            ([0.1] * 5 + [0.9] * 10 + [0.1] * 5, [(5, 15)]),
            ([0.9] * 7, []),  # 0.22 s
            ([0.9] * 10 + [0.4] * 5 + [0.1], [(0, 15)]),  # ends below 0.35 only
            ([0.9] * 10 + [0.1] * 3 + [0.9] * 10, [(0, 23)]),  # a pause of 0.096 s
            ([0.9] * 10 + [0.1] * 4 + [0.9] * 10, [(0, 10), (14, 24)]),
        ],
    )
    def test_segments(self, speech, probabilities, found):
        seconds = [(begin * CHUNK / RATE, end * CHUNK / RATE) for begin, end in found]
        assert speech.segments(probabilities) == [pytest.approx(part) for part in seconds]

    def test_another_rate_is_refused(self, speech, tmp_path):
        with wave.open(str(tmp_path / "other.wav"), "wb") as file:
            file.setparams((1, 2, 44100, 0, "NONE", ""))
            file.writeframes(b"\0\0")
        with pytest.raises(ValueError, match="44100"):
            speech.read_wav(tmp_path / "other.wav")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    repository = tmp_path_factory.mktemp("speech")
    nosbuild.build(hub.find("silero_vad").folder, repository)
    with nosbuild.serve(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        running.repository = repository
        yield running


def probabilities(client, speech, audio):
    with client.sequence("silero_vad") as sequence:
        return [
            sequence.run({"audio": chunk[None]})["speech"].item() for chunk in speech.chunks(audio)
        ]


def expected(silero, speech, audio):
    import torch

    _, model = silero
    model.reset_states()
    return [
        model(torch.from_numpy(chunk), RATE).item()
        for chunk in map(np.ascontiguousarray, speech.chunks(audio))
    ]


@pytest.mark.gallery
@pytest.mark.live
class TestServed:
    @pytest.mark.parametrize("protocol", ["grpc", "http"])
    def test_probabilities_are_the_networks_own(self, service, speech, silero, recording, protocol):
        url = service.grpc_url if protocol == "grpc" else service.http_url
        with Client(url) as client:
            found = probabilities(client, speech, recording)
        assert len(found) == 312
        np.testing.assert_allclose(found, expected(silero, speech, recording), rtol=0, atol=1e-4)

    def test_speech_is_found_where_it_is(self, service, speech, silero, clip):
        package, model = silero
        with Client(service.grpc_url) as client:
            found = speech.segments(probabilities(client, speech, clip))
        own = package.get_speech_timestamps(clip, model, sampling_rate=RATE, speech_pad_ms=0)
        wanted = [(part["start"] / RATE, part["end"] / RATE) for part in own]
        assert len(wanted) >= 2
        assert found == [pytest.approx(part, abs=2 * CHUNK / RATE) for part in wanted]
        # And in the two places where the clip has it, in both.
        places = [(1.4, 3.7), (5.9, 7.7)]
        lies_in = [
            [number for number, place in enumerate(places) if place[0] < begin < end < place[1]]
            for begin, end in found
        ]
        assert [number for (number,) in lies_in] == sorted(number for (number,) in lies_in)
        assert {number for (number,) in lies_in} == {0, 1}

    def test_64_streams_at_once_keep_apart(self, service, speech, recording):
        streams = [np.roll(recording, -997 * number)[: 24 * CHUNK] for number in range(64)]
        with Client(service.grpc_url) as client, ThreadPoolExecutor(64) as pool:
            alone = [probabilities(client, speech, audio) for audio in streams[:4]]
            before = client.statistics("silero_vad")
            together = list(pool.map(lambda a: probabilities(client, speech, a), streams))
            after = client.statistics("silero_vad")
        np.testing.assert_allclose(together[:4], alone, rtol=0, atol=1e-5)
        assert len({tuple(np.round(found, 3)) for found in together}) == 64
        runs = after.execution_count - before.execution_count
        assert runs < after.inference_count - before.inference_count, "nothing was joined"

    def test_it_is_proven_through_the_server(self, service):
        (proof,) = prove_served(service.repository, server=service)
        assert proof.passed, proof.refusal()
        assert (proof.samples, len(proof.ways)) == (32, 6)

    def test_from_the_command_line_it_is_a_sequence_of_one_request(self, service):
        command = [Path(sys.executable).with_name("nosbuild"), "run", "silero_vad", "--random"]
        url = f"grpc://{service.grpc_url}"
        ran = subprocess.run([*command, "--json", "--url", url], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        (((probability,),),) = json.loads(ran.stdout).values()
        assert 0 <= probability <= 1

    def test_audio_outside_of_a_sequence_is_refused(self, service):
        with Client(service.grpc_url) as client, pytest.raises(InvalidInput, match="in a sequence"):
            client.run("silero_vad", {"audio": np.zeros((1, CHUNK), np.float32)})
