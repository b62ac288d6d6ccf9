#!/usr/bin/env python3
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what each bcrypt cost means for the requests per second of a registry on this machine.

The registry verifies the password of every request anew, so verifications per second are its ceiling.
Usage: python tests/bench/bcrypt_cost.py [--costs 5 8 10 12] [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt

SECRET = b"correct horse battery staple"


def verifications(hashed: bytes, seconds: float) -> int:
    """Verify until the time is over and return how often."""
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end or not count:
        bcrypt.checkpw(SECRET, hashed)
        count += 1
    return count


def measure(cost: int, seconds: float, threads: int) -> tuple[float, float]:
    """Return milliseconds for one verification alone, and verifications per second on `threads` threads."""
    hashed = bcrypt.hashpw(SECRET, bcrypt.gensalt(cost))
    began = time.perf_counter()
    alone = verifications(hashed, seconds)
    each = (time.perf_counter() - began) / alone
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        together = sum(pool.map(lambda dummy: verifications(hashed, seconds), range(threads)))
    return each * 1000, together / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a bcrypt cost means for requests per second.")
    parser.add_argument("--costs", type=int, nargs="+", default=[4, 5, 6, 7, 8, 9, 10, 11, 12])
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each measurement (default 0.5)")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    print(f"| cost | ms per verification | ceiling, requests/s on {threads} cores |")
    print("|---:|---:|---:|")
    for cost in options.costs:
        each, rate = measure(cost, options.seconds, threads)
        print(f"| {cost} | {each:.2f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
