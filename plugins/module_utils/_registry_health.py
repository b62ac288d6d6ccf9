# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The state of a registry as its users see it: evidence first, then what is wrong with it. Private."""

from __future__ import annotations

import dataclasses
import ssl
import time
import typing as t
from collections.abc import Callable, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_certificates import TlsReport, inspect
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    HttpError,
    NotFoundError,
    TlsError,
    UnsafeRequestError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_base_url, origin_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_roundtrip import Traveller
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import CLOCK, clock
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_upload import cancel_upload

# What an account of each role may do: read, write.
RIGHTS = {"none": (False, False), "reader": (True, False), "writer": (True, True)}
CHECK_MODE = "check mode"
_DENIED = frozenset((401, 403))


class HealthError(RegistryError):
    """Something about the registry is not as it should be, although every answer came."""


@dataclasses.dataclass(frozen=True)
class Account:
    """A user and the role it should have; without a name it is everybody."""

    name: str | None
    password: str | None = dataclasses.field(repr=False)
    role: str

    def __str__(self) -> str:
        return f"user {self.name}" if self.name is not None else "a client without a password"


@dataclasses.dataclass(frozen=True)
class Right:
    """Whether an account may do something; `allowed` is nothing when that could not be found out."""

    expected: bool
    allowed: bool | None
    status: int | None
    seconds: float
    skipped: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a result."""
        return dataclasses.asdict(self) | {"seconds": round(self.seconds, 3)}


class Checkup:
    """Looks at one registry. Every method adds evidence to `evidence` and what is wrong to `problems`."""

    def __init__(
        self,
        url: str,
        accounts: Sequence[Account],
        *,
        context: ssl.SSLContext | None,
        timeout: float,
        read_only: bool,
        repository: str,
    ) -> None:
        """Keep what to look at.

        Args:
            url: address of the registry.
            accounts: whose rights are tried.
            context: TLS settings, the system's by default.
            timeout: seconds for each answer, and for waiting when the registry asks to come back later.
            read_only: try nothing that writes.
            repository: where rights are tried.

        Raises:
            BadNameError: when the address or a user name cannot be used.
        """
        self._url = check_base_url(url)
        self._repository = repository
        self._read_only = read_only
        self._trace: list[Exchange] = []
        self._transport = Transport(
            context=context,
            timeout=timeout,
            attempts=2,
            patience=timeout,
            read_only=read_only,
            observer=self._trace.append,
        )
        self._sessions = {
            account: Session(self._transport, self._url, account.name, account.password) for account in accounts
        }
        self.problems: list[RegistryError] = []
        self.evidence: dict[str, t.Any] = {
            "endpoint": {"url": self._url, "reachable": False, "status": None, "api_version": "", "seconds": 0.0},
            "tls": None,
            "challenge": None,
            "anonymous": None,
            "users": [],
            "round_trip": None,
        }

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return len(self._trace)

    @property
    def left_something(self) -> bool:
        """Whether something of a round trip is still in the registry."""
        return not (self.evidence["round_trip"] or {}).get("removed", True)

    def look_at_tls(self, days: int) -> bool:
        """Look at the certificates; return whether it makes sense to go on.

        Args:
            days: how long every certificate of a trusted chain should still be valid.
        """
        origin = origin_of(self._url)
        if origin.scheme != "https":
            return True
        try:
            report = inspect(origin, self._transport.context, self._transport.timeout)
        except RegistryError as exc:
            self.problems.append(exc)
            return False
        self.evidence["tls"] = dataclasses.asdict(report) | {"days_left": report.days_left}
        verify = self._transport.context.verify_mode == ssl.CERT_REQUIRED
        problem = judge_tls(self._url, report, days) if verify else None
        if problem:
            self.problems.append(problem)
        return report.trusted or not verify

    def look_at_endpoint(self) -> bool:
        """Ask the front door who may come in; return whether it makes sense to go on."""
        began = time.monotonic()
        endpoint = self.evidence["endpoint"]
        try:
            ping = client.ask(Session(self._transport, self._url))
        except RegistryError as exc:
            self.problems.append(exc)
            endpoint["status"] = getattr(exc, "status", None)
            endpoint["reachable"] = isinstance(exc, HttpError)
            return False
        finally:
            endpoint["seconds"] = round(time.monotonic() - began, 3)
        endpoint |= {"reachable": True, "status": ping.status, "api_version": ping.api_version}
        if ping.challenge:
            challenge = ping.challenge
            self.evidence["challenge"] = {
                "scheme": challenge.scheme,
                "realm": challenge.realm,
                "service": challenge.service,
            }
        return True

    def look_at_accounts(self) -> None:
        """Try what each account may do, and compare it with its role."""
        for account, session in self._sessions.items():
            may_read, may_write = RIGHTS[account.role]
            rights = {
                "read": self._try(session, account, "reading from", may_read, self._read),
                "write": self._try(session, account, "writing to", may_write, self._write),
            }
            seen: dict[str, t.Any] = {"role": account.role} | {key: right.as_dict() for key, right in rights.items()}
            seen["ok"] = all(right.skipped or right.allowed == right.expected for right in rights.values())
            if account.name is None:
                self.evidence["anonymous"] = seen
            else:
                self.evidence["users"].append({"name": account.name} | seen)

    def travel(self, writer: Account, reader: Account) -> None:
        """Have one of the accounts push and remove an image and one pull it, unless nothing may be written."""
        if self._read_only:
            self.evidence["round_trip"] = {"skipped": CHECK_MODE}
            return
        result = Traveller(self._sessions[writer], self._sessions[reader], self._repository, self._trace).go()
        self.problems += result.problems
        self.evidence["round_trip"] = {"skipped": ""} | result.as_dict()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _try(
        self, session: Session, account: Account, doing: str, expected: bool, probe: Callable[[Session], None]
    ) -> Right:
        began, seen = time.monotonic(), len(self._trace)
        allowed: bool | None = True
        error: RegistryError | None = None
        try:
            probe(session)
        except UnsafeRequestError:
            return Right(expected, None, None, 0.0, skipped=CHECK_MODE)
        except RegistryError as exc:
            error = exc
            allowed = False if isinstance(exc, HttpError) and exc.status in _DENIED else None
        # The first method of a probe decides; what follows only tidies up.
        answers = [one.status for one in self._trace[seen:] if one.method == self._trace[seen].method]
        right = Right(expected, allowed, answers[-1] if answers else None, time.monotonic() - began)
        problem = judge_right(account, f"{doing} {self._repository}", self._url, right, error)
        if problem:
            self.problems.append(problem)
        return right

    def _read(self, session: Session) -> None:
        path = f"/v2/{self._repository}/tags/list?n=1"
        try:
            scope = client.pull(self._repository)
            session.request(f"read from {self._repository}", "GET", path, scope=scope, expect=(200,)).close()
        except NotFoundError as exc:
            # A repository that does not exist yet may be read all the same.
            if "NAME_UNKNOWN" not in exc.codes:
                raise

    def _write(self, session: Session) -> None:
        url = client.start_upload(session, self._repository)
        try:
            cancel_upload(session, self._repository, url)
        except RegistryError as exc:
            self.problems.append(exc)


def travellers(accounts: Sequence[Account]) -> tuple[Account, Account] | None:
    """Return who pushes and who pulls in a round trip, or nothing when nobody may push."""
    writer = next((account for account in accounts if account.role == "writer"), None)
    if writer is None:
        return None
    return writer, next((account for account in accounts if account.role == "reader"), writer)


def judge_tls(url: str, report: TlsReport, days: int) -> RegistryError | None:
    """Return what is wrong with the certificates a server showed."""
    shown = report.chain[0] if report.chain else None
    if not report.trusted:
        since = f"from {shown.not_before} " if shown and "not yet valid" in report.problem else ""
        what = f" (for {', '.join(shown.names) or shown.subject}, {since}until {shown.not_after})" if shown else ""
        return TlsError(
            "trust the server",
            where=url,
            got=f"{report.problem}{what}{clock(report.problem)}",
            remedy=(clock(report.problem) and CLOCK) or "Have one for this name, or give the CA that signed it.",
        )
    left = report.days_left
    if left is not None and left < days:
        first = min(report.chain, key=lambda certificate: certificate.days_left)
        return HealthError(
            "find a certificate that lasts",
            where=url,
            got=f"that of {first.subject} expires in {left} days, on {first.not_after}",
            remedy=f"Renew it; at least {days} days should be left.",
        )
    return None


def judge_right(
    account: Account, doing: str, url: str, right: Right, error: RegistryError | None
) -> RegistryError | None:
    """Return what is wrong with what an account may do.

    Args:
        account: who tried.
        doing: the attempt, as a participle ("reading from team/app").
        url: address of the registry.
        right: what was expected and seen.
        error: how the attempt failed, if it did.
    """
    if right.allowed == right.expected:
        return None
    if right.allowed is None and error:
        return HealthError(
            f"find out about {doing} as {account}", where=error.where, got=error.got, remedy=error.remedy
        )
    if right.expected:
        return HealthError(
            f"find {doing} allowed to {account}",
            where=url,
            got=f"status {right.status}",
            remedy="Check the password, and whether this account is among those that may do this.",
        )
    if account.name is None:
        remedy = "Set up authentication; until then anybody who reaches this address can do this."
    else:
        remedy = (
            "Take this account out of those that may do this: the htpasswd of the writer, or the token service's rules."
        )
    return HealthError(f"find {doing} refused to {account}", where=url, got=f"status {right.status}", remedy=remedy)
