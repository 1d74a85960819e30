"""Servers whose APIs ask for a key: nosbuild, which starts them, knows it; others do not."""

import pytest
import tiny_models

from nosbuild import serve
from nosbuild.runtime.restrictions import only_for_the_manager, restrictions_of
from nosclient import Client, Unauthorized

APIS = "model-repository,health,metadata,model-config,statistics"
RESTRICTED = [
    f"--http-restricted-api={APIS}:admin-key=geheim",
    f"--grpc-restricted-protocol={APIS}:admin-key=geheim",
]
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
ROW = [[1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("on_demand", [False, True])
def test_models_are_loaded_and_clients_of_the_service_let_in(tmp_path, on_demand):
    tiny_models.add_one(tmp_path)
    more = {"on_demand": True, "memory": "1GiB"} if on_demand else {}
    with serve(tmp_path, triton_options=RESTRICTED, **PORTS, **more) as service:
        assert "geheim" not in f"{service!r} {vars(service)!r} {service.control!r}"
        with service.client(deadline=30) as client:
            assert client.run("add_one", {"x": ROW})["y"].tolist() == [[2.0, 3.0, 4.0, 5.0]]
            assert service.models() == ["add_one"]
            service.unload_model("add_one")
            assert service.models() == []
            service.load_model("add_one")
            assert client.is_ready("add_one")
        for url in (service.grpc_url, service.http_url):
            with Client(url, deadline=30) as stranger:
                if on_demand:  # through the model manager, which has the key
                    stranger.load_model("add_one")
                    assert "add_one" in {row.name for row in stranger.list_models()}
                    continue
                for ask in (stranger.list_models, lambda c=stranger: c.load_model("add_one")):
                    with pytest.raises(Unauthorized, match="admin-key"):
                        ask()


def test_keys_are_read_from_the_options():
    found = restrictions_of([*RESTRICTED, "--http-restricted-api=health:other=a=b", "--strict=x"])
    assert found.http == {"admin-key": "geheim", "other": "a=b"}
    assert found.grpc == {"admin-key": "geheim"}
    assert restrictions_of(["--http-restricted-api=health", "--log-verbose=1"]).http == {}
    assert restrictions_of(["--http-restricted-api", "health:k=v", "--x"]).http == {"k": "v"}
    assert restrictions_of(()).grpc == {}


def test_the_managers_key_is_new_each_time_and_leaves_the_users_restrictions_alone():
    first, second = only_for_the_manager(()), only_for_the_manager(())
    assert [option.partition(":")[0] for option in first] == [
        "--http-restricted-api=model-repository",
        "--grpc-restricted-protocol=model-repository",
    ]
    keys = restrictions_of(first)
    assert keys.http == keys.grpc != restrictions_of(second).http
    assert keys.grpc_keys_for("127.0.0.1") == keys.grpc
    assert keys.grpc_keys_for("192.0.2.1") == {}
    assert restrictions_of(RESTRICTED).grpc_keys_for("192.0.2.1") == {"admin-key": "geheim"}
    assert only_for_the_manager(RESTRICTED) == []
    (grpc,) = only_for_the_manager(["--http-restricted-api", "health,model-repository:k=v"])
    assert grpc.startswith("--grpc-restricted-protocol=")
    assert len(only_for_the_manager(["--http-restricted-api=health:k=v"])) == 2
