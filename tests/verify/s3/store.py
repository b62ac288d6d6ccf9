# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The object store of the lab, as its operator sees it."""

from __future__ import annotations

import re
import urllib.parse

from tests.verify.clients import Client

ENDPOINT = "https://s3.s3.svc:8443"
INSIDE = "http://s3.s3.svc:8333"
OPERATOR = "operator:operator-of-the-lab"


class Store:
    """A bucket."""

    def __init__(self, client: Client, bucket: str) -> None:
        """Take a client that reaches the store."""
        self.client, self.bucket = client, bucket

    def ask(self, query: str) -> str:
        """Return the answer to a signed GET of the bucket."""
        signed = ("--aws-sigv4", "aws:amz:us-east-1:s3", "-u", OPERATOR)
        answer = self.client.http(f"/{self.bucket}{query}", *signed, url=INSIDE)
        assert answer.status == 200, answer
        return answer.body

    def keys(self, prefix: str) -> list[str]:
        """Return the names of all objects that begin like this."""
        found: list[str] = []
        after = ""
        while True:
            start = f"&start-after={urllib.parse.quote(after, safe='')}" if after else ""
            body = self.ask(f"?list-type=2&prefix={urllib.parse.quote(prefix, safe='')}{start}")
            found += re.findall("<Key>([^<]+)</Key>", body)
            if "<IsTruncated>true" not in body:
                return found
            after = found[-1]

    def unfinished(self) -> list[str]:
        """Return the names of multipart uploads that nobody has finished or cancelled."""
        return re.findall("<Key>([^<]+)</Key>", self.ask("?uploads="))
