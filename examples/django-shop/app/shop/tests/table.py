# SPDX-License-Identifier: MIT
"""Tests over tables: one row, one test with a name of its own in every report."""
import re


def rows(*table):
    """Marks a test method that is to be run once for each row, the row being its arguments."""
    def mark(method):
        method.table = [row if isinstance(row, tuple) else (row,) for row in table]
        return method

    return mark


def expand(case):
    """Class decorator: replaces each marked method by one method a row."""
    for name, method in list(vars(case).items()):
        table = getattr(method, "table", None)
        if table is None:
            continue
        delattr(case, name)
        for number, row in enumerate(table, 1):
            words = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(str(value) for value in row))[:40].strip("_")
            setattr(case, f"{name}_{number:03d}_{words}", _bound(method, row))
    return case


def _bound(method, row):
    def test(self):
        method(self, *row)

    test.__doc__ = None
    return test
