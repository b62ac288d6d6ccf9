# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The program of the pod: python3 -m ...module_utils._gc_main OPTIONS [--dry-run]. Private.

The environment names the Job (JOB_NAME, JOB_UID) and the pod (POD_NAME).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import parse
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import say
from ansible_collections.homeport.registry.plugins.module_utils._gc_run import EXIT_CODES, Collection


def main(argv: list[str]) -> int:
    """Collect, and return the exit status: see EXIT_CODES."""
    parser = argparse.ArgumentParser(description="Collect garbage of a registry.")
    parser.add_argument("options", help="path of the options document")
    parser.add_argument("--dry-run", action="store_true", help="stop before anything is deleted")
    arguments = parser.parse_args(argv)
    try:
        with open(arguments.options, encoding="utf-8") as stream:
            options = parse(stream.read())
        if arguments.dry_run:
            options = dataclasses.replace(options, dry_run=True)
        job = os.environ.get("JOB_NAME") or "by-hand"
        # The Job, not its pod: another pod of the same Job finds the Lease its own.
        pod = os.environ.get("POD_NAME") or str(os.getpid())
        # A pod without a Job is its own holder; by its process, which is the first in each, all of them would be one.
        identity = f"{job}_{os.environ.get('JOB_UID') or pod}"
        collection = Collection(options, job, identity, pod)
    except (GcError, OSError, KeyError) as error:
        say(f"cannot begin: {error}")
        return EXIT_CODES["failed"]
    return collection.run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
