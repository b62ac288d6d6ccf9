# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one error tree of the collection. Private: not for use outside homeport.registry."""

from __future__ import annotations


class RegistryError(Exception):
    """Something was tried, did not work, and somebody can do something about it.

    Every part is a plain sentence fragment without secrets, so that it can be shown anywhere.
    """

    def __init__(self, tried: str, *, where: str, got: str, remedy: str) -> None:
        """Keep the four answers an operator needs.

        Args:
            tried: what was attempted, as an infinitive without "to" ("read the tags of team/app").
            where: the address, file or line it was attempted at.
            got: what came back instead of success.
            remedy: what to do about it, as a full sentence.
        """
        self.tried = tried
        self.where = where
        self.got = got
        self.remedy = remedy
        super().__init__(f"Could not {tried} ({where}): {got}. {remedy}")

    def as_dict(self) -> dict[str, str]:
        """Return the four parts under their names, for module results."""
        return {"tried": self.tried, "where": self.where, "got": self.got, "remedy": self.remedy}


class MissingLibraryError(RegistryError):
    """A Python library is absent, too old, or not the one that is needed."""


class HtpasswdError(RegistryError):
    """An htpasswd text or the users asked for it cannot be accepted."""


class CertificateError(RegistryError):
    """A certificate, its key or its authority cannot be used as it is."""
