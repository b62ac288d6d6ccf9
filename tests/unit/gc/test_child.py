# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program prints is read as it was printed, in whatever pieces it comes."""

from __future__ import annotations

import pytest

DIGESTS = [f"sha256:{number:064x}" for number in range(20_000)]
SUMMARY = "3 blobs marked, 1 blobs and 0 manifests eligible for deletion"


def test_every_line_of_more_than_a_pipe_holds_is_read(program):
    code, last, found = program("""
        for number in range(20_000):
            print(f"team/app: marking blob sha256:{number:064x}")
    """).collect()
    assert (code, last, found.marked) == (0, "", set(DIGESTS))


def test_pieces_of_lines_and_of_letters_are_put_together(program):
    code, last, found = program(f"""
        printed = "team/app: marking blob {DIGESTS[1]}\\nströmt\\nblob eligible for deletion: {DIGESTS[2]}\\n{SUMMARY}"
        for letter in printed.encode():
            sys.stdout.buffer.write(bytes([letter]))
            sys.stdout.buffer.flush()
        sys.exit(3)
    """).collect()
    assert (code, last) == (3, "strömt\n")
    assert (found.marked, found.blobs, found.counts) == ({DIGESTS[1]}, {DIGESTS[2]}, (3, 1, 0))


def test_the_end_of_both_streams_is_kept_and_what_is_no_text_is_replaced(program):
    code, last, found = program("""
        sys.stderr.buffer.write(b"".join(b"Deleting blob %d\\n" % number for number in range(20_000)))
        sys.stderr.buffer.write(b"panic: \\xff")
        sys.exit(2)
    """).collect()
    assert (code, last) == (2, "panic: \ufffd")
    assert not found.summary


@pytest.mark.parametrize(("given", "wanted"), [(None, "200"), ("50", "50")])
def test_the_reader_collects_memory_less_often_unless_told(program, tmp_path, monkeypatch, given, wanted):
    monkeypatch.delenv("GOGC", raising=False)
    if given:
        monkeypatch.setenv("GOGC", given)
    reader = program("""
        import json, pathlib, socket
        port = int(json.load(open(sys.argv[2]))["http"]["addr"].rpartition(":")[2])
        found = f"{os.environ['GOGC']} {os.environ['OTEL_TRACES_EXPORTER']}"
        pathlib.Path(sys.argv[0] + ".goes").write_text(found)
        with socket.create_server(("127.0.0.1", port)) as server:
            one, _address = server.accept()
            with one:
                one.recv(65536)
                one.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    """)
    reader.serve()
    reader.close()
    assert (tmp_path / "registry.goes").read_text() == f"{wanted} none"
