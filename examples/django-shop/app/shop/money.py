# SPDX-License-Identifier: MIT
"""Money is a whole number of cents; the only place where anything is rounded."""


def share(cents, numerator, denominator):
    """`cents` times a fraction, rounded half away from zero (as merchants do, unlike Python's round())."""
    if denominator <= 0:
        raise ValueError("a share needs a positive denominator")
    product = cents * numerator
    rounded = (2 * abs(product) + denominator) // (2 * denominator)
    return rounded if product >= 0 else -rounded


def show(cents):
    """`1234` as `12.34`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def read(text):
    """`12.34`, `12.3` or `12` in cents; ValueError for anything else, a sign included."""
    whole, point, part = text.partition(".")
    digits = whole + part
    if not whole or bool(point) != bool(part) or len(part) > 2 or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"not an amount of money: {text!r}")
    return int(whole) * 100 + int(part.ljust(2, "0"))
