# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures are ssh-keygen's own, in both directions, and whatever is wrong with one is named."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import SignatureError

CONTENT = b'{"schema":"homeport.bundle/v1"}\n'
KINDS = {
    "ed25519": ["-t", "ed25519"],
    "rsa": ["-t", "rsa", "-b", "2048"],
    "ecdsa-256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa-384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa-521": ["-t", "ecdsa", "-b", "521"],
    "pem": ["-t", "ecdsa", "-b", "256", "-m", "PEM"],
}


def keygen(*arguments: str | Path, **more) -> subprocess.CompletedProcess[str]:
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)


def make(folder: Path, *options: str, passphrase: str = "") -> Path:
    key = folder / "key"
    folder.mkdir(exist_ok=True)
    done = keygen("-q", *options, "-N", passphrase, "-C", "builder", "-f", key)
    assert done.returncode == 0, done.stderr
    return key


def public(key: Path) -> str:
    return key.with_suffix(".pub").read_text()


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, Path]:
    """One key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: make(folder / name, *options) for name, options in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_accepts_what_is_signed_here(keys, tmp_path, kind):
    signature = tmp_path / "content.sig"
    signature.write_text(sshsig.sign(CONTENT, keys[kind].read_bytes()))
    (tmp_path / "signers").write_text(f"builder {public(keys[kind])}")
    arguments = ("-Y", "verify", "-f", tmp_path / "signers", "-I", "builder", "-n", sshsig.NAMESPACE, "-s", signature)
    command = ["ssh-keygen", *map(str, arguments)]
    done = subprocess.run(command, input=CONTENT, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run(command, input=CONTENT + b" ", capture_output=True).returncode != 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hash_name", ["sha512", "sha256"])
def test_what_ssh_keygen_signs_is_accepted_here(keys, tmp_path, kind, hash_name):
    armored = signed_by_keygen(keys[kind], tmp_path, "-O", f"hashalg={hash_name}")
    other = public(keys["ed25519"] if kind != "ed25519" else keys["rsa"])
    found = sshsig.verify(CONTENT, armored, [other, public(keys[kind])])
    assert found.comment == ("builder" if kind != "pem" else found.comment)
    assert found.fingerprint in keygen("-l", "-f", keys[kind].with_suffix(".pub")).stdout


def signed_by_keygen(key: Path, folder: Path, *options: str, namespace: str = sshsig.NAMESPACE) -> str:
    content = folder / "content"
    content.write_bytes(CONTENT)
    done = keygen("-Y", "sign", "-f", key, "-n", namespace, *options, content)
    assert done.returncode == 0, done.stderr
    return (folder / "content.sig").read_text()


def test_the_same_content_has_the_same_signature(keys):
    key = keys["ed25519"].read_bytes()
    assert sshsig.sign(CONTENT, key) == sshsig.sign(CONTENT, key)


def test_a_key_with_a_passphrase(tmp_path):
    key = make(tmp_path, "-t", "ed25519", passphrase="correct horse")
    armored = sshsig.sign(CONTENT, key.read_bytes(), "correct horse")
    assert sshsig.verify(CONTENT, armored, [public(key)]).fingerprint
    assert sshsig.public_key(key.read_bytes(), "correct horse").blob == sshsig.parse_public_key(public(key)).blob
    for passphrase, words in ((None, "none was given"), ("wrong", "the passphrase is wrong")):
        with pytest.raises(SignatureError, match=words):
            sshsig.sign(CONTENT, key.read_bytes(), passphrase)


def test_a_passphrase_for_a_key_without_one(keys):
    with pytest.raises(SignatureError, match="it has none"):
        sshsig.sign(CONTENT, keys["ed25519"].read_bytes(), "needless")


def test_a_weak_key_is_refused(tmp_path):
    key = make(tmp_path, "-t", "rsa", "-b", "1024")
    with pytest.raises(SignatureError, match="only 1024 bits"):
        sshsig.sign(CONTENT, key.read_bytes())
    with pytest.raises(SignatureError, match="only 1024 bits"):
        sshsig.parse_public_key(public(key))


@pytest.mark.parametrize("text", [b"", b"nonsense", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_private_key_is_refused_without_showing_it(text):
    with pytest.raises(SignatureError, match="it cannot be read") as caught:
        sshsig.sign(CONTENT, text)
    assert "AAAA" not in str(caught.value)


def armor(body: bytes) -> str:
    text = base64.b64encode(body).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n"


def body_of(armored: str) -> bytes:
    return base64.b64decode("".join(armored.splitlines()[1:-1]))


SPOILED = {
    "empty": (lambda text: "", "no armored SSH signature"),
    "cut off": (lambda text: text[:80], "no armored SSH signature"),
    "other letters": (lambda text: text.replace("\n", "\n*", 1), "cannot be read"),
    "shorter": (lambda text: armor(body_of(text)[:-4]), "ends too early"),
    "longer": (lambda text: armor(body_of(text) + b"x"), "follows the end"),
    "another beginning": (lambda text: armor(b"XXHSIG" + body_of(text)[6:]), "does not begin like one"),
    "another version": (lambda text: armor(body_of(text).replace(b"SSHSIG\0\0\0\1", b"SSHSIG\0\0\0\2")), "version 2"),
    "another hash": (lambda text: armor(body_of(text).replace(b"sha512", b"sha384")), "uses the hash 'sha384'"),
    "a hash it was not made with": (lambda text: armor(body_of(text).replace(b"sha512", b"sha256")), "is not what"),
    "another namespace": (lambda text: armor(body_of(text).replace(b"homeport-bundle", b"homeport-bungle")), "for '"),
    "a flipped bit": (lambda text: armor(body_of(text)[:-1] + bytes([body_of(text)[-1] ^ 1])), "is not what"),
    "another algorithm": (
        lambda text: armor(body_of(text)[:80] + body_of(text)[80:].replace(b"ssh-ed25519", b"ssh-ed25518")),
        "is not what",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_signature_is_refused_for_its_reason(keys, name):
    spoil, words = SPOILED[name]
    armored = sshsig.sign(CONTENT, keys["ed25519"].read_bytes())
    with pytest.raises(SignatureError, match=words):
        sshsig.verify(CONTENT, spoil(armored), [public(keys["ed25519"])])


@pytest.mark.parametrize("kind", KINDS)
def test_another_content_is_refused(keys, kind):
    armored = sshsig.sign(CONTENT, keys[kind].read_bytes())
    with pytest.raises(SignatureError, match=r"is not what the key SHA256:.* has signed"):
        sshsig.verify(CONTENT + b" ", armored, [public(keys[kind])])


def test_a_key_that_is_not_trusted_is_named(keys):
    armored = sshsig.sign(CONTENT, keys["ed25519"].read_bytes())
    stranger = sshsig.parse_public_key(public(keys["ed25519"])).fingerprint
    with pytest.raises(SignatureError, match="trusted are") as caught:
        sshsig.verify(CONTENT, armored, [public(keys["rsa"])])
    assert stranger in str(caught.value)
    with pytest.raises(SignatureError, match="no key is trusted"):
        sshsig.verify(CONTENT, armored, [])


def test_a_signature_for_something_else_is_refused(keys, tmp_path):
    armored = signed_by_keygen(keys["ed25519"], tmp_path, namespace="git")
    with pytest.raises(SignatureError, match="made for 'git' and not for homeport-bundle"):
        sshsig.verify(CONTENT, armored, [public(keys["ed25519"])])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "no public key"),
        ("ssh-ed25519", "no public key"),
        ("ssh-ed25519 AAAA", "no public key"),
        ("ssh-ed25519 not-base-64", "no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "none of ssh-ed25519"),
    ],
)
def test_a_line_that_is_no_public_key_is_refused(line, words):
    with pytest.raises(SignatureError, match=words):
        sshsig.parse_public_key(line)
