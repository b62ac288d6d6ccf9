# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Signatures as `ssh-keygen -Y sign` makes them (SSHSIG, version 1). Private.

Keys come in and never go out again: no message of this module holds a part of a private one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
import typing as t
from collections.abc import Iterable

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import SignatureError
from ansible_collections.homeport.registry.plugins.module_utils._deps import require_cryptography
from ansible_collections.homeport.registry.plugins.module_utils._errors import MissingLibraryError

try:
    # Other kinds of keys are imported where there is one: what checks most signatures takes a third of the time.
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519

    require_cryptography("read keys")
except (ImportError, MissingLibraryError):
    LIBRARY_IS_THERE = False
else:
    LIBRARY_IS_THERE = True

NAMESPACE = "homeport-bundle"
_MAGIC = b"SSHSIG"
_VERSION = 1
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"
_WIDTH = 70
_HASHES = ("sha512", "sha256")
_RSA_BITS = 2048
_CURVES = {"nistp256": "SHA256", "nistp384": "SHA384", "nistp521": "SHA512"}
_RSA = {"rsa-sha2-512": "SHA512", "rsa-sha2-256": "SHA256"}


class Signature(t.NamedTuple):
    """The parts of a signature; `key` is the public key in the form that SSH sends."""

    key: bytes
    namespace: str
    hash_name: str
    algorithm: str
    value: bytes

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint as `ssh-keygen -l` shows it."""
        return fingerprint(self.key)


class TrustedKey(t.NamedTuple):
    """A public key, in the form that SSH sends, and its comment."""

    blob: bytes
    comment: str

    @property
    def line(self) -> str:
        """The key as a line of a .pub file."""
        kind = _Parts(self.blob).text()
        return " ".join(part for part in (kind, base64.b64encode(self.blob).decode(), self.comment) if part)

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint as `ssh-keygen -l` shows it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key in the form that SSH sends."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def sign(content: bytes, private_key: bytes, passphrase: str | None = None, *, namespace: str = NAMESPACE) -> str:
    """Return the armored signature of a content.

    Args:
        content: what to sign.
        private_key: an OpenSSH or PEM private key: Ed25519, RSA of at least 2048 bits, or ECDSA.
        passphrase: of the key.
        namespace: what the signature is for.

    Raises:
        SignatureError: when the key cannot be used.
        MissingLibraryError: without the cryptography library.
    """
    require_cryptography("sign")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = _private(private_key, passphrase)
    blob = _public_blob(key.public_key())
    message = _message(content, namespace, "sha512")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm, value = "ssh-ed25519", key.sign(message)
    elif isinstance(key, rsa.RSAPrivateKey):
        algorithm, value = "rsa-sha2-512", key.sign(message, padding.PKCS1v15(), hashes.SHA512())
    else:
        algorithm = _Parts(blob).text()
        curve = algorithm.rpartition("-")[2]
        first, second = decode_dss_signature(key.sign(message, ec.ECDSA(getattr(hashes, _CURVES[curve])())))
        value = _mpint(first) + _mpint(second)
    inner = _string(algorithm.encode()) + _string(value)
    body = _MAGIC + struct.pack(">I", _VERSION)
    body += b"".join(map(_string, (blob, namespace.encode(), b"", b"sha512", inner)))
    text = base64.b64encode(body).decode()
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def public_key(private_key: bytes, passphrase: str | None = None) -> TrustedKey:
    """Return the public half of a private key.

    Raises:
        SignatureError: when the key cannot be used.
        MissingLibraryError: without the cryptography library.
    """
    require_cryptography("read keys")
    return TrustedKey(_public_blob(_private(private_key, passphrase).public_key()), "")


def verify(
    content: bytes, armored: str, trusted: Iterable[str], *, namespace: str = NAMESPACE, where: str = "the signature"
) -> TrustedKey:
    """Return the trusted key that has signed a content.

    Args:
        content: what was signed.
        armored: the signature.
        trusted: public keys as OpenSSH writes them, one a line.
        namespace: what the signature has to be for.
        where: the signature is, for errors.

    Raises:
        SignatureError: when none has, or the signature cannot be read.
        MissingLibraryError: without the cryptography library.
    """
    require_cryptography("verify a signature")
    keys = [parse_public_key(line) for line in trusted]
    if not keys:
        raise _error(where, "no key is trusted", "Give the public key of whoever builds bundles in trusted_keys.")
    signature = parse_signature(armored, where)
    if signature.namespace != namespace:
        got = f"it was made for {ascii(signature.namespace)[:60]} and not for {namespace}"
        raise _error(where, got, f"Sign with: ssh-keygen -Y sign -n {namespace}.")
    known = [key for key in keys if key.blob == signature.key]
    if not known:
        got = f"it was made with the key {signature.fingerprint}; trusted are {', '.join(k.fingerprint for k in keys)}"
        raise _error(where, got, "Find out who has signed this. Only if you trust them, add their public key.")
    message = _message(content, namespace, signature.hash_name)
    try:
        _check(signature, message)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as exc:
        got = f"the content is not what the key {signature.fingerprint} has signed"
        raise _error(where, got, "Do not use it: it was changed or damaged. Copy it again from its source.") from exc
    return known[0]


def parse_signature(armored: str, where: str = "the signature") -> Signature:
    """Return the parts of an armored signature.

    Raises:
        SignatureError: when it is none of this format, or uses what is refused.
    """
    text = armored.strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise _error(where, "it is no armored SSH signature", "Give the file that bundle_build or ssh-keygen wrote.")
    try:
        body = base64.b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
        if body[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin like one")
        parts = _Parts(body[len(_MAGIC) :])
        version = parts.number()
        if version != _VERSION:
            raise ValueError(f"it is of version {version}")
        key, namespace, _reserved, hash_name = parts.string(), parts.text(), parts.string(), parts.text()
        inner = _Parts(parts.string())
        parts.end()
        algorithm, value = inner.text(), inner.string()
        inner.end()
    except (ValueError, binascii.Error, struct.error) as exc:
        raise _error(where, f"it cannot be read: {exc}", "It is damaged: copy it again from its source.") from exc
    if hash_name not in _HASHES:
        got = f"it uses the hash {ascii(hash_name)[:60]}"
        raise _error(where, got, f"Sign with one of {', '.join(_HASHES)}.")
    return Signature(key, namespace, hash_name, algorithm, value)


def parse_public_key(line: str) -> TrustedKey:
    """Return the key of a line as in a .pub or authorized_keys file; options in front of it are not allowed.

    Raises:
        SignatureError: when it is none that can be used.
    """
    kind, encoded, comment = (*line.strip().split(None, 2), "", "", "")[:3]
    where = f"the trusted key {ascii(line.strip())[:40]}"
    remedy = "Give the whole line of the .pub file: ssh-ed25519 AAAA... comment."
    if "PRIVATE KEY" in line:
        raise _error("a trusted key", "it is a private key", "Give the public one, the line of the .pub file.")
    try:
        blob = base64.b64decode(encoded, validate=True)
        if not re.fullmatch(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+", kind) or _Parts(blob).text() != kind:
            raise ValueError(f"{ascii(kind)[:40]} is none of ssh-ed25519, ssh-rsa, ecdsa-sha2-nistp256/384/521")
        _public(blob)
    except (ValueError, binascii.Error, struct.error, UnsupportedAlgorithm) as exc:
        raise _error(where, f"it is no public key: {exc}", remedy) from exc
    return TrustedKey(blob, comment)


def _check(signature: Signature, message: bytes) -> None:
    """Compare a signature with a message; raises what the library raises, or ValueError."""
    kind = _Parts(signature.key).text()
    key = _public(signature.key)
    if isinstance(key, ed25519.Ed25519PublicKey) and signature.algorithm == kind:
        key.verify(signature.value, message)
        return
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if isinstance(key, rsa.RSAPublicKey) and signature.algorithm in _RSA:
        # Bytes in front that are zero may have been left out.
        value = signature.value.rjust((key.key_size + 7) // 8, b"\0")
        key.verify(value, message, padding.PKCS1v15(), getattr(hashes, _RSA[signature.algorithm])())
    elif isinstance(key, ec.EllipticCurvePublicKey) and signature.algorithm == kind:
        parts = _Parts(signature.value)
        encoded = encode_dss_signature(parts.integer(), parts.integer())
        parts.end()
        key.verify(encoded, message, ec.ECDSA(getattr(hashes, _CURVES[kind.rpartition("-")[2]])()))
    else:
        raise ValueError("the key does not make such signatures")


def _private(text: bytes, passphrase: str | None) -> t.Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    secret = passphrase.encode() if passphrase else None
    where = "the private key"
    load = serialization.load_pem_private_key
    if b"BEGIN OPENSSH PRIVATE KEY" in text:
        load = serialization.load_ssh_private_key
    try:
        key = load(text.strip() + b"\n", secret)
    except TypeError as exc:
        got = "it has a passphrase and none was given" if secret is None else "a passphrase was given and it has none"
        raise _error(where, got, "Give passphrase exactly when the key has one.") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        # The library's own words may quote the key.
        got = "it cannot be read" + (", or the passphrase is wrong" if secret else "")
        raise _error(where, got, "Give a private key as ssh-keygen -t ed25519 makes it, and its passphrase.") from exc
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        raise _error(where, f"it has only {key.key_size} bits", "Make one with ssh-keygen -t ed25519.")
    curve = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in ("secp256r1", "secp384r1", "secp521r1")
    if not (curve or isinstance(key, (ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey))):
        raise _error(where, "it is of a kind that is not used here", "Make one with ssh-keygen -t ed25519.")
    return key


def _public_blob(key: t.Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _public(blob: bytes) -> t.Any:
    parts = _Parts(blob)
    kind = parts.text()
    if kind == "ssh-ed25519":
        point = parts.string()
        parts.end()
        return ed25519.Ed25519PublicKey.from_public_bytes(point)
    # It brings every cipher along, and takes longer than a signature does.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key: t.Any = serialization.load_ssh_public_key(f"{kind} {base64.b64encode(blob).decode()}".encode())
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        raise ValueError(f"it has only {key.key_size} bits")
    return key


def _message(content: bytes, namespace: str, hash_name: str) -> bytes:
    """Return what is really signed for a content."""
    digest = hashlib.new(hash_name, content).digest()
    return _MAGIC + b"".join(map(_string, (namespace.encode(), b"", hash_name.encode(), digest)))


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _mpint(value: int) -> bytes:
    # One bit more than needed, so that the number is not read as negative.
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


class _Parts:
    """Reads what SSH packs one after the other; everything raises ValueError or struct.error."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self) -> int:
        (value,) = struct.unpack(">I", self._take(4))
        return int(value)

    def string(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        return self.string().decode("ascii")

    def integer(self) -> int:
        value = int.from_bytes(self.string(), "big", signed=True)
        if value < 0:
            raise ValueError("a number is negative")
        return value

    def end(self) -> None:
        if self._data:
            raise ValueError("something follows the end")

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        if len(taken) != size:
            raise ValueError("it ends too early")
        return taken


def _error(where: str, got: str, remedy: str) -> SignatureError:
    return SignatureError("use the signature or its key", where=where, got=got, remedy=remedy)
