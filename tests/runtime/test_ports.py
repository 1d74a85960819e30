"""Which ports a server gets."""

import os
import socket

import pytest

from nosbuild.errors import HostError
from nosbuild.runtime.ports import Ports, choose_ports
from nosbuild.runtime.service_record import ServiceRecord, start_time, write_record
from nosbuild.store.folders import CACHE_VARIABLE

HOST = "127.0.0.1"


def test_ports_differ_and_are_free():
    ports = choose_ports(HOST, Ports(0, 0, 0))
    numbers = [ports.http, ports.grpc, ports.metrics]
    assert len(set(numbers)) == 3
    for number in numbers:
        socket.create_server((HOST, number)).close()


def test_a_default_port_in_use_gives_way_to_a_free_one():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, 8000))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as good
        chosen = choose_ports(HOST, Ports())
        assert chosen.http != 8000
        assert 8000 in chosen.taken
        assert 8000 not in choose_ports(HOST, Ports(http=0)).taken, "nobody wanted it"


def test_an_asked_port_in_use_is_named_with_its_owner():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} .* in use by .*{os.getpid()}"):
            choose_ports(HOST, Ports(metrics=port))


def test_a_port_of_a_service_is_named_with_its_repository(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    pid = os.getpid()
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        urls = (f"http://{HOST}:{port}1", f"{HOST}:{port}2", f"http://{HOST}:{port}/metrics")
        write_record(ServiceRecord(pid, start_time(pid), "/the/models", *urls, "log"))
        with pytest.raises(HostError, match=rf"by the service on /the/models \(pid {pid}\)"):
            choose_ports(HOST, Ports(http=port))


def test_the_same_port_cannot_be_asked_for_twice():
    free = choose_ports(HOST, Ports(0, 0, 0)).http
    with pytest.raises(HostError, match=f"port {free}"):
        choose_ports(HOST, Ports(http=free, grpc=free))


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(HostError, match=r"cannot listen on 192\.0\.2\.1"):
        choose_ports("192.0.2.1", Ports())
