# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector's way to its object store, over real sockets."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_relay import Relay, has_proxy

# What Go's client asks for: version 5, one method, nothing asked for; then connect.
HELLO = b"\x05\x01\x00"
CONNECT = b"\x05\x01\x00"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class Store:
    """Answers each line that comes with the same in capitals, and remembers it."""

    def __init__(self, family=socket.AF_INET):
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self.lines = []
        self.ends = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one):
        with one, one.makefile("rwb") as stream:
            try:
                for line in stream:
                    self.lines.append(line)
                    stream.write(line.upper())
                    stream.flush()
                stream.write(b"that was all\n")
                stream.flush()
            except OSError:
                pass
            self.ends += 1

    def close(self):
        self._listener.close()


class Permission:
    """What the relay asks."""

    def __init__(self):
        self.given = True
        self.certain = threading.Event()
        self.certain.set()

    def __call__(self):
        self.certain.wait()
        return self.given


@pytest.fixture
def store():
    made = Store()
    yield made
    made.close()


@pytest.fixture
def permission():
    made = Permission()
    yield made
    made.certain.set()


@pytest.fixture
def relay(permission):
    made = Relay(permission)
    yield made
    made.close()


def until(what, seconds=5):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def ask(relay, port, host="127.0.0.1", kind=1):
    """Connect as Go does, and return the connection and the code that it was answered."""
    one = socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    one.sendall(HELLO)
    assert one.recv(2) == b"\x05\x00"
    if kind == 3:
        place = bytes([len(host)]) + host.encode()
    else:
        place = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, host)
    one.sendall(CONNECT + bytes([kind]) + place + port.to_bytes(2, "big"))
    answer = one.recv(10, socket.MSG_WAITALL)
    assert len(answer) == 10
    assert answer[0] == 5
    return one, answer[1]


def is_cut(one):
    try:
        return one.recv(100) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", 1), ("localhost", 3)])
def test_what_is_allowed_passes_both_ways(relay, store, host, kind):
    one, code = ask(relay, store.port, host, kind)
    with one:
        assert code == 0
        for line in (b"get\n", b"delete\n"):
            one.sendall(line)
            assert one.recv(100) == line.upper()
        one.shutdown(socket.SHUT_WR)
        assert one.recv(100) == b"that was all\n"
        assert is_cut(one)
    assert store.lines == [b"get\n", b"delete\n"]


def test_an_address_of_the_sixth_version(relay):
    try:
        store = Store(socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no such addresses")
    one, code = ask(relay, store.port, "::1", 4)
    with one:
        one.sendall(b"get\n")
        assert (code, one.recv(100)) == (0, b"GET\n")
    store.close()


def test_what_is_forbidden_does_not_arrive_and_cuts(relay, store, permission):
    """The connection stood already and was used."""
    one, _code = ask(relay, store.port)
    with one:
        one.sendall(b"get\n")
        assert one.recv(100) == b"GET\n"
        permission.given = False
        one.sendall(b"delete\n")
        assert is_cut(one)
    until(lambda: store.ends == 1)
    assert store.lines == [b"get\n"]


def test_who_is_forbidden_gets_no_connection(relay, store, permission):
    permission.given = False
    one, code = ask(relay, store.port)
    with one:
        assert (code, is_cut(one)) == (2, True)
    assert not store.ends


@pytest.mark.parametrize("given", [True, False])
def test_what_is_doubtful_is_held(relay, store, permission, given):
    one, _code = ask(relay, store.port)
    with one:
        permission.certain.clear()
        one.sendall(b"delete\n")
        time.sleep(0.3)
        assert store.lines == []
        permission.given = given
        permission.certain.set()
        if given:
            assert one.recv(100) == b"DELETE\n"
        else:
            assert is_cut(one)
    assert store.lines == ([b"delete\n"] if given else [])


def test_a_large_body_is_asked_for_again_and_again(relay, permission):
    """What the store did not take while it was allowed must not follow later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one, _code = ask(relay, listener.getsockname()[1])
        far, _address = listener.accept()
        with one, far:
            one.setblocking(False)
            sent, end = 0, time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    sent += one.send(bytes(1 << 20))
                except BlockingIOError:
                    time.sleep(0.01)
            permission.given = False
            got = 0
            while data := far.recv(1 << 20):
                got += len(data)
            assert 0 < got < sent


def test_a_store_that_is_not_there(relay, store):
    store.close()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        one, code = ask(relay, unused.getsockname()[1])
        with one:
            assert (code, is_cut(one)) == (4, True)
    one, code = ask(relay, 80, "no such name", 3)
    with one:
        assert (code, is_cut(one)) == (4, True)


@pytest.mark.parametrize("said", [b"GET http://store/ HTTP/1.1\r\n\r\n", b"\x04\x01\x00P", b"\x05\x01\x02"])
def test_another_protocol_is_not_answered(relay, said):
    with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as one:
        one.sendall(said)
        assert is_cut(one)


def test_another_command_is_refused(relay):
    with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as one:
        one.sendall(HELLO)
        assert one.recv(2) == b"\x05\x00"
        one.sendall(b"\x05\x02\x00\x01" + bytes(6))
        assert one.recv(10)[1] == 7


def test_its_end_cuts_what_is_connected(relay, store):
    one, _code = ask(relay, store.port)
    with one:
        relay.close()
        assert is_cut(one)
    until(lambda: store.ends == 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), timeout=5)


# -- Who is led over it --


@pytest.fixture
def told(monkeypatch, program):
    """Return a function that runs a collector on a store, and returns the proxies it was told and whether it asked."""
    for name in (*PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    text = f"for name in {(*PROXIES, 'NO_PROXY', 'no_proxy')!r}: print(name, os.environ.get(name))"

    def run(storage, *flags):
        collector = program(text, storage)
        _code, last, _found = collector.collect(*flags)
        return {**dict(line.split(" ", 1) for line in last.splitlines()), "asks": collector.asks}

    return run


def test_a_collector_on_an_object_store_is_led_over_it(told, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "store.example.com")
    found = told({"s3": {}})
    (address,) = {found[name] for name in PROXIES}
    assert address.startswith("socks5://127.0.0.1:")
    assert (found["NO_PROXY"], found["no_proxy"]) == ("", "")
    assert found["asks"]


def test_neither_a_dry_run_nor_a_volume_is(told):
    assert {told({"s3": {}}, "--dry-run")[name] for name in PROXIES} == {"None"}
    assert {told({"filesystem": {}})[name] for name in PROXIES} == {"None"}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_of_the_pod_is_kept(told, monkeypatch, name):
    monkeypatch.setenv(name, "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", "store.example.com")
    found = told({"s3": {}})
    assert (found[name], found["NO_PROXY"]) == ("http://proxy.example.com:3128", "store.example.com")
    assert {found[one] for one in PROXIES if one != name} == {"None"}
    assert not found["asks"]
    assert has_proxy({name: "x"})
    assert not has_proxy({name: "", "NO_PROXY": "x"})


class Asked(Program):
    """A program whose relay can be asked here."""

    def __init__(self, folder):
        super().__init__("registry", {"s3": {}}, str(folder))


def test_a_program_may_send_until_its_lease_is_lost_or_it_was_killed(tmp_path):
    program = Asked(tmp_path)
    assert program._may_go_on()

    def lost():
        raise GcError("keep the Lease", where="here", got="nothing", remedy="none")

    program.check = lost
    assert not program._may_go_on()
    program.check = lambda: None
    program.kill("the deadline is over")
    assert not program._may_go_on()


@pytest.mark.parametrize(("then", "expected"), [("go_on", True), ("kill", False)])
def test_a_paused_program_is_answered_later(tmp_path, then, expected):
    program, answers = Asked(tmp_path), []
    program.pause()
    waits = threading.Thread(target=lambda: answers.append(program._may_go_on()))
    waits.start()
    time.sleep(0.2)
    assert answers == []
    program.kill("lost") if then == "kill" else program.go_on()
    waits.join(5)
    assert answers == [expected]
