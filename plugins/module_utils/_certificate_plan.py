# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decide what of an authority and its certificate is to be made, and what is kept. Private.

The one rule above all others: an authority that clients trust is never replaced by itself.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.homeport.registry.plugins.module_utils._certificates import (
    Pair,
    Place,
    canonical,
    is_address,
    is_authority,
    issued_by,
    load,
    moment,
    names,
    subject,
)
from ansible_collections.homeport.registry.plugins.module_utils._errors import CertificateError

KEEP = "keep"
MAKE = "make"


class Plan(t.NamedTuple):
    """What to do: ``authority`` and ``leaf`` are V(keep) or V(make), ``days`` is how long a new leaf may live."""

    authority: str
    leaf: str
    days: int
    reason: str


class Wish(t.NamedTuple):
    """What is wanted: the names that the leaf covers, days that it lives, and days before its end to renew it."""

    hosts: Sequence[str]
    days: int
    renew_days: int


def decide(
    authority: Mapping[str, str] | None,
    leaf: Mapping[str, str] | None,
    wish: Wish,
    now: dt.datetime,
    secrets: tuple[str, str],
) -> Plan:
    """Return the plan for the data of two Secrets (``tls.crt`` and ``tls.key`` each), none where there is none.

    Args:
        authority: the authority's Secret.
        leaf: the leaf's Secret, only if this role has issued it.
        wish: what is wanted.
        now: the present time, with its zone.
        secrets: how messages call the two Secrets.

    Raises:
        CertificateError: the authority is lost, broken or expired; only a person may replace it.
        MissingLibraryError: cryptography is absent or too old.
    """
    if authority is None:
        if leaf is None:
            return Plan(MAKE, MAKE, wish.days, "there is no authority yet")
        raise CertificateError(
            "keep the authority that clients trust",
            where=secrets[0],
            got=f"the Secret is gone, while {secrets[1]} holds a certificate of it",
            remedy="Restore the Secret. Only if its key is lost for good, delete the other Secret too: "
            "the next run makes a new authority, which every client must then be told to trust.",
        )
    pair = _authority(authority, Place(secrets[0], _REPLACE), now)
    left = (pair.leaf.not_valid_after_utc - now).days
    days = min(wish.days, left)
    reason = _why_new(leaf, pair, wish, now, days)
    return Plan(KEEP, MAKE if reason else KEEP, days, reason)


_REPLACE = (
    "Nothing replaces an authority by itself, because every client would have to trust the new one. "
    "Restore the Secret; or delete it and the Secret of the certificate, run again, "
    "and give the clients the new authority."
)


def _authority(data: Mapping[str, str], place: Place, now: dt.datetime) -> Pair:
    pair = load(data.get("tls.crt", ""), data.get("tls.key", ""), place)
    tried = "issue certificates"
    if not is_authority(pair.leaf):
        raise place.error(tried, f"the certificate {subject(pair.leaf)} is not that of an authority")
    # With less than a day left it can issue nothing that lasts a day.
    if pair.leaf.not_valid_after_utc <= now + dt.timedelta(days=1):
        raise place.error(tried, f"the authority {subject(pair.leaf)} ends on {moment(pair.leaf.not_valid_after_utc)}")
    return pair


def _why_new(data: Mapping[str, str] | None, authority: Pair, wish: Wish, now: dt.datetime, days: int) -> str:
    """Return why a new leaf is needed, empty when the present one is right."""
    if data is None:
        return "there is no certificate yet"
    try:
        pair = load(data.get("tls.crt", ""), data.get("tls.key", ""), Place("", ""))
    except CertificateError as error:
        return error.got
    if not issued_by(pair.leaf, authority.leaf):
        return "the certificate is not by the present authority"
    wanted = {canonical(host) for host in wish.hosts}
    if set(names(pair.leaf)) != wanted:
        return f"the certificate is for {', '.join(names(pair.leaf))}"
    end = pair.leaf.not_valid_after_utc
    # Near the end of the authority a new leaf would live no longer than the present one.
    gains = now + dt.timedelta(days=days) > end + dt.timedelta(days=1)
    if end <= now or (end - now < dt.timedelta(days=wish.renew_days) and gains):
        return f"the certificate ends on {moment(end)}"
    return ""


def alternative_names(hosts: Sequence[str]) -> list[str]:
    """Return hosts as subject alternative names in the notation of OpenSSL."""
    return [f"{'IP' if is_address(host) else 'DNS'}:{canonical(host)}" for host in hosts]
