"""New versions of served models: proven beside the old ones, under load, on a real Triton."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nosbuild.rollout.refusing
import nosbuild.rollout.run
from nosbuild import serve
from nosbuild.errors import HostError, Refused, RepositoryError, RequestError
from nosbuild.rollout import RunningServer, roll_out
from nosbuild.runtime.managed_models import managed_models
from nosbuild.runtime.model_manager import ask_manager
from nosbuild.runtime.service_record import service_at
from rolling import PORTS, WIDER, Publisher, Traffic, ready, workers

NAMES = [
    "swapped",
    "wrong",
    "unloadable",
    "broken",
    "overtaken",
    "crowd",
    "killed",
    "edited",
    "part",
    "several",
    "second",
    "stuck",
    "quiet",
    "ends",
]
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
ensemble_scheduling {
  step { model_name: "part" model_version: -1
    input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } }
  step { model_name: "part" model_version: -1
    input_map { key: "x" value: "between" } output_map { key: "y" value: "y" } }
}
"""


def started(tmp_path_factory, **options):
    folder = tmp_path_factory.mktemp("rolling")
    (folder / "repository").mkdir()
    publish = Publisher(folder / "repository", folder / "scratch")
    for name in NAMES:
        publish(name, 1)
    for name, part in (("whole", "part"), ("of_second", "second")):
        (publish.repository / name / "1").mkdir(parents=True)
        text = ENSEMBLE.replace('"part"', f'"{part}"')
        (publish.repository / name / "config.pbtxt").write_text(f'name: "{name}"{text}')
    return publish, serve(publish.repository, **PORTS, **options)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    publish, service = started(tmp_path_factory)
    with service:
        yield publish, service


@pytest.fixture(scope="module")
def on_demand(tmp_path_factory):
    publish, service = started(tmp_path_factory, on_demand=True, memory="2GiB")
    with service:
        yield publish, service


@pytest.fixture(params=["eager", "on_demand"])
def serving(request):
    """The service, and what publishes into its repository."""
    return request.getfixturevalue(request.param)


def is_clean(service, name):
    """No candidate is left, loaded or not."""
    assert not list(service.files.models.iterdir())
    assert not [one for one, _ in ready(service) if one.startswith(f"{name}.")]
    return True


def test_under_load_no_request_fails_and_every_caller_sees_the_old_one_and_then_the_new(serving):
    publish, service = serving
    with Traffic(service, "swapped") as traffic:
        publish("swapped", 2)
        traffic.wait_for_more()
        said = []
        service.load_model("swapped", on_progress=said.append)
    assert not traffic.failed
    assert traffic.changes() == [[1.0, 2.0]] * 4
    assert said[-1] == "swapped: version 2 serves, proven with 1 golden sample in this server"
    assert is_clean(service, "swapped")
    assert ("swapped", "2") in ready(service)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("wrong", r"y: relative .* missed"), ("unloadable", "does not load: config.pbtxt and the")],
)
def test_a_version_that_fails_never_serves_and_is_rolled_back(serving, kind, reason):
    publish, service = serving
    with Traffic(service, kind) as traffic:
        before = publish.state(kind)
        processes = workers(service, kind)
        assert getattr(publish, kind)(kind, 2) == 2
        with pytest.raises(Refused, match=reason) as caught:
            service.load_model(kind)
    assert not traffic.failed
    assert traffic.changes() == [[1.0]] * 4
    assert f"{kind}: version 2 refused; version 1 stays" in caught.value.message
    assert "candidate" not in caught.value.message
    assert publish.state(kind) == before
    assert publish.refusal(kind, 2) in caught.value.message.replace("\n  ", "\n")
    assert workers(service, kind) == processes  # it was not even loaded again
    assert is_clean(service, kind)
    service.load_model(kind)  # as ever: there is nothing new
    assert (kind, "2") not in ready(service)
    # The next one is not held up by it.
    assert publish(kind, 3) == 3
    service.load_model(kind)
    with service.client() as client:
        assert client.run(kind, {"x": np.zeros((1, 4), np.float32)})["y"][0, 0] == 3


def test_a_version_that_was_changed_after_its_proof_is_not_even_loaded(serving):
    publish, service = serving
    before = publish.state("broken")
    publish("broken", 2)
    (publish.repository / "broken/2/model.onnx").write_bytes(b"")
    said = []
    with pytest.raises(Refused, match="is not the file that was proven"):
        service.load_model("broken", on_progress=said.append)
    assert said == ["broken: new version 2"]
    assert publish.state("broken") == before


def test_what_is_published_meanwhile_is_proven_in_its_place(serving):
    publish, service = serving
    publish("overtaken", 2)

    def overtake(line):
        if "over gRPC, together" in line and "v2" in line:
            publish("overtaken", 3)

    with Traffic(service, "overtaken") as traffic:
        service.load_model("overtaken", on_progress=overtake)
    assert not traffic.failed
    assert traffic.changes() == [[1.0, 3.0]] * 4
    assert not publish.refusal("overtaken", 2)


def test_a_failing_version_that_was_overtaken_leaves_what_came_after_it(serving):
    publish, service = serving
    publish.wrong("several", 2)

    def overtake(line):
        if "over HTTP, together" in line and "v2" in line:
            publish("several", 3)

    with Traffic(service, "several") as traffic:
        service.load_model("several", on_progress=overtake)
    assert not traffic.failed
    assert traffic.changes() == [[1.0, 3.0]] * 4


def test_several_who_roll_out_at_once_prove_it_once(serving):
    publish, service = serving
    publish("crowd", 2)
    said = []
    with Traffic(service, "crowd") as traffic, ThreadPoolExecutor(4) as pool:
        loads = [
            pool.submit(service.load_model, "crowd", on_progress=said.append) for _ in range(4)
        ]
        for load in loads:
            load.result()
    assert not traffic.failed
    assert traffic.changes() == [[1.0, 2.0]] * 4
    assert said.count("crowd: new version 2") == 1


KILLED = """
import sys
from nosbuild.rollout import RunningServer, roll_out
from nosbuild.runtime.service_record import service_at
from nosclient import Client

record = service_at(sys.argv[1])
server = RunningServer.of_record(record, lambda: Client(record.grpc_url))
roll_out(server, "killed", on_progress=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("at", ["loading it beside", "over gRPC, together"])
def test_a_roll_out_that_is_killed_changes_nothing_and_the_next_one_cleans_up(serving, at):
    publish, service = serving
    with service.client() as client:
        now = float(client.run("killed", {"x": np.zeros((1, 4), np.float32)})["y"][0, 0])
    publish("killed", now + 1)
    with Traffic(service, "killed") as traffic:
        command = [sys.executable, "-c", textwrap.dedent(KILLED), service.grpc_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert any(at in line for line in process.stdout)
            process.send_signal(signal.SIGKILL)
        traffic.wait_for_more()
        assert traffic.changes() == [[now]] * 4
        (left,) = service.files.models.iterdir()
        assert left.name.startswith("killed.candidate-")
        service.load_model("killed")
    assert not traffic.failed
    assert traffic.changes() == [[now, now + 1]] * 4
    assert is_clean(service, "killed")


def test_another_process_finds_the_server_and_rolls_out(serving):
    _, service = serving
    record = service_at(service.grpc_url)
    server = RunningServer.of_record(record, service.client)
    assert server.files == service.files
    assert roll_out(server, "edited") == ()


def test_settings_that_were_edited_by_hand_are_loaded_as_ever(serving):
    publish, service = serving
    config = publish.repository / "edited/config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { nonsense")
    with pytest.raises(RepositoryError):
        service.load_model("edited")
    text = config.read_text().removesuffix("\nversion_policy { nonsense")
    config.write_text(text.replace("max_batch_size: 8", "max_batch_size: 4"))
    service.load_model("edited")
    with service.client() as client:
        assert client.get_model_info("edited").max_batch_size == 4
    assert "max_batch_size: 4" in config.read_text()


def test_a_part_of_a_loaded_ensemble(serving):
    publish, service = serving
    with Traffic(service, "whole") as traffic:
        publish("part", 2)
        service.load_model("whole")  # with what it calls
        for answers in traffic.answers:
            answers.append("now")
    assert not traffic.failed
    for changes in traffic.changes():
        # While Triton swaps, its two steps may meet one of each.
        assert changes[0] == 2.0
        assert changes[-1] == 4.0
        assert set(changes) <= {2.0, 3.0, 4.0, "now"}
    before = publish.state("part")
    publish.wrong("part", 3)
    with Traffic(service, "whole") as traffic, pytest.raises(Refused, match="part: version 3"):
        service.load_model("whole")
    assert not traffic.failed
    assert traffic.changes() == [[4.0]] * 4
    assert publish.state("part") == before
    publish("part", 4, WIDER)
    with Traffic(service, "whole") as traffic, pytest.raises(RequestError, match="whole, which is"):
        service.load_model("part")
    assert traffic.changes() == [[4.0]] * 4
    assert not publish.refusal("part", 4)  # it is not at fault
    (publish.repository / "part/config.pbtxt").write_bytes(before[0])


def test_what_is_published_and_not_proven_is_loaded_by_nobody(on_demand):
    """Neither by who asks for the model, nor by who asks for an ensemble of it."""
    publish, service = on_demand
    x = {"x": np.zeros((1, 4), np.float32)}
    with service.client(deadline=60) as client:
        now = float(client.run("second", x)["y"][0, 0])
        service.unload_model("second")
        publish.wrong("second", now + 5)
        assert client.run("second", x)["y"][0, 0] == now
        service.unload_model("second")
        assert client.run("of_second", x)["y"][0, 0] == 2 * now
        assert client.run("second", x)["y"][0, 0] == now


def test_what_somebody_loaded_past_it_is_taken_back(eager):
    """Triton's own API loads whatever config.pbtxt says."""
    publish, service = eager
    publish.wrong("second", 2)
    with Traffic(service, "second") as traffic:
        with service.client() as client:
            client.load_model("second")
        traffic.wait_for_more()
        with pytest.raises(Refused):
            service.load_model("second")
    assert not traffic.failed
    assert {one for changes in traffic.changes() for one in changes} <= {1.0, 2.0}
    assert {changes[-1] for changes in traffic.changes()} == {1.0}
    assert ready(service) >= {("second", "1")}
    assert ("second", "2") not in ready(service)


def test_a_manager_holds_to_what_was_served_though_config_pbtxt_cannot_go_back(
    on_demand, monkeypatch
):
    publish, service = on_demand
    x = {"x": np.zeros((1, 4), np.float32)}

    def fail(*_):
        raise HostError("config.pbtxt cannot be put back")

    publish.wrong("stuck", 2)
    with service.client(deadline=60) as client:
        known = managed_models(publish.repository, ["stuck"])  # by somebody, past this
        ask_manager(client, "ensure", model="stuck", again=True, models=known, timeout=60)
        assert client.run("stuck", x)["y"][0, 0] == 2
        with monkeypatch.context() as patch, pytest.raises(Refused) as caught:
            patch.setattr(nosbuild.rollout.refusing, "restore_config", fail)
            service.load_model("stuck")
        assert caught.value.message.endswith("\n  config.pbtxt cannot be put back")
        assert client.run("stuck", x)["y"][0, 0] == 1
        service.unload_model("stuck")
        assert client.run("stuck", x)["y"][0, 0] == 1
    assert "y: relative" in publish.refusal("stuck", 2)


def test_one_that_is_not_loaded_is_proven_and_stays_so(serving):
    publish, service = serving
    with service.client() as client:
        client.run("quiet", {"x": np.zeros((1, 4), np.float32)})
    service.unload_model("quiet")
    publish("quiet", 2)
    (outcome,) = roll_out(RunningServer.of_service(service), "quiet", load=False)
    assert not outcome.is_loaded
    assert outcome.describe().endswith("in this server, and serves once it is loaded")
    assert "quiet" not in service.models()
    publish.wrong("quiet", 3)
    assert roll_out(RunningServer.of_service(service), "quiet", load=False)[0].refused
    assert "quiet" not in service.models()
    service.load_model("quiet")
    with service.client() as client:
        assert client.run("quiet", {"x": np.zeros((1, 4), np.float32)})["y"][0, 0] == 2


def test_a_version_whose_worker_ends_over_its_samples_is_refused(serving, monkeypatch):
    publish, service = serving
    proves = nosbuild.rollout.run.prove_versions

    def ends(versions, *others, **more):
        for pid in workers(service, versions[0].name):
            os.kill(pid, signal.SIGKILL)
        return proves(versions, *others, **more)

    monkeypatch.setattr(nosbuild.rollout.run, "prove_versions", ends)
    with Traffic(service, "ends") as traffic:
        publish("ends", 2)
        with pytest.raises(Refused, match=r"worker process|not healthy"):
            service.load_model("ends")
        traffic.wait_for_more()
    assert not traffic.failed
    assert traffic.changes() == [[1.0]] * 4
    assert publish.refusal("ends", 2)
    assert is_clean(service, "ends")
    if service.is_on_demand:
        with service.client() as client:
            known = ask_manager(client, "status", timeout=30)["models"]
        assert not [name for name in known if name.startswith("ends.")]
