# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read certificates and say what a client would have against them. Private.

Keys come in and never go out again: no message of this module holds a part of one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import typing as t
from collections.abc import Sequence

from ansible_collections.homeport.registry.plugins.module_utils._deps import require_cryptography
from ansible_collections.homeport.registry.plugins.module_utils._errors import CertificateError, MissingLibraryError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    require_cryptography()
except (ImportError, MissingLibraryError):
    LIBRARY_IS_THERE = False
else:
    LIBRARY_IS_THERE = True

# Go's clients refuse signatures by these, whatever else is right.
_BROKEN_HASHES = ("md5", "sha1")


class Pair(t.NamedTuple):
    """A certificate chain, the leaf first, and the private key of the leaf."""

    chain: list[x509.Certificate]
    key: t.Any

    @property
    def leaf(self) -> x509.Certificate:
        """Return the first certificate."""
        return self.chain[0]


class Place(t.NamedTuple):
    """Where a certificate was given and what may be done about it, for messages."""

    name: str
    remedy: str

    def error(self, tried: str, got: str) -> CertificateError:
        """Return the error for this place."""
        return CertificateError(tried, where=self.name, got=got, remedy=self.remedy)


def load(chain: str, key: str, place: Place) -> Pair:
    """Read a PEM chain and a PEM key that belong together.

    Raises:
        MissingLibraryError: cryptography is absent or too old.
        CertificateError: one cannot be read, or the key is not that of the first certificate.
    """
    require_cryptography()
    tried = "read the certificate and its key"
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        raise place.error(tried, "the certificate is no PEM text of one or more certificates") from None
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError:
        raise place.error(tried, "the private key is encrypted; the registry needs it without a passphrase") from None
    # The exceptions of the library may quote what they were given.
    except (ValueError, UnsupportedAlgorithm):
        raise place.error(tried, "the private key is no PEM text of a key") from None
    public = _spki(private.public_key())
    owners = [number for number, item in enumerate(certificates, 1) if _spki(item.public_key()) == public]
    if not owners:
        raise place.error(tried, f"the private key is not the key of certificate 1 ({subject(certificates[0])})")
    if owners[0] != 1:
        owner = certificates[owners[0] - 1]
        raise place.error(
            tried, f"the private key is that of certificate {owners[0]} ({subject(owner)}), not of the first"
        )
    return Pair(certificates, private)


def check_chain(chain: Sequence[x509.Certificate], place: Place) -> None:
    """Make sure that each certificate is signed by the next one, with a signature that clients accept.

    Raises:
        CertificateError: the order is wrong, a link is missing, or a signature is broken.
    """
    tried = "follow the chain of certificates"
    for number, item in enumerate(chain, 1):
        used = item.signature_hash_algorithm
        # Nobody verifies the signature of a root: it is trusted for being there.
        if used is not None and used.name in _BROKEN_HASHES and item.issuer != item.subject:
            raise place.error(tried, f"certificate {number} ({subject(item)}) is signed with {used.name.upper()}")
    for number, (item, issuer) in enumerate(itertools.pairwise(chain), 1):
        if not issued_by(item, issuer):
            got = (
                f"certificate {number} ({subject(item)}) names the issuer {_text(item.issuer)}, "
                f"but certificate {number + 1} ({subject(issuer)}) has not signed it"
            )
            raise place.error(tried, got)
        if not is_authority(issuer):
            raise place.error(tried, f"certificate {number + 1} ({subject(issuer)}) may not sign others")


def check_times(chain: Sequence[x509.Certificate], now: dt.datetime, place: Place) -> int:
    """Return for how many whole days all certificates are still valid.

    Raises:
        CertificateError: one has expired, or is not valid yet.
    """
    tried = "use the certificate today"
    for number, item in enumerate(chain, 1):
        if item.not_valid_after_utc <= now:
            got = f"certificate {number} ({subject(item)}) expired on {moment(item.not_valid_after_utc)}"
            raise place.error(tried, got)
        if item.not_valid_before_utc > now:
            got = f"certificate {number} ({subject(item)}) is not valid before {moment(item.not_valid_before_utc)}"
            raise place.error(tried, got)
    return min((item.not_valid_after_utc - now).days for item in chain)


def check_host(leaf: x509.Certificate, host: str, place: Place) -> None:
    """Make sure that clients accept the certificate for a host name or address.

    Raises:
        CertificateError: no subject alternative name covers the host, or the certificate is not for servers.
    """
    tried = f"use the certificate for {host}"
    named = names(leaf)
    if not named:
        raise place.error(tried, "it has no subject alternative names, and clients look at nothing else")
    if not any(covers(name, host) for name in named):
        raise place.error(tried, f"its subject alternative names are {', '.join(named)}")
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise place.error(tried, "its extended key usage does not allow server authentication")


def names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses of a certificate, in its order."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(item.value).lower() for item in found if isinstance(item, (x509.DNSName, x509.IPAddress))]


def covers(name: str, host: str) -> bool:
    """Tell whether a subject alternative name covers a host; a star stands for exactly the first label.

    >>> covers("*.example.com", "registry.example.com"), covers("*.example.com", "a.b.example.com")
    (True, False)
    """
    name, host = name.lower().rstrip("."), canonical(host)
    if name == host:
        return True
    rest = host.partition(".")[2]
    return bool(rest) and not is_address(host) and name == f"*.{rest}"


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def canonical(host: str) -> str:
    """Return a host name or address the one way that certificates spell it."""
    return str(ipaddress.ip_address(host)) if is_address(host) else host.lower().rstrip(".")


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def issued_by(item: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether one certificate was signed by the other."""
    try:
        item.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def pem(chain: Sequence[x509.Certificate]) -> str:
    """Return certificates as PEM, nothing between them."""
    return "".join(item.public_bytes(serialization.Encoding.PEM).decode() for item in chain)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 fingerprint, in lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def subject(certificate: x509.Certificate) -> str:
    """Return how people call a certificate: its common name, else its first name, else its subject."""
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if common:
        return str(common[0].value)
    return next(iter(names(certificate)), _text(certificate.subject))


def moment(value: dt.datetime) -> str:
    """Return a point in time as people read it."""
    return value.strftime("%Y-%m-%d %H:%M UTC")


def _text(name: x509.Name) -> str:
    return name.rfc4514_string() or "without a name"


def _spki(key: t.Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, form)
    return encoded
