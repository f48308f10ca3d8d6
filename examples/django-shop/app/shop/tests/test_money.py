# SPDX-License-Identifier: MIT
from decimal import ROUND_HALF_UP, Decimal

from django.test import SimpleTestCase

from shop import money
from shop.tests.table import expand, rows

AMOUNTS = [0, 1, 5, 49, 50, 99, 101, 333, 1005, 99999]


@expand
class Share(SimpleTestCase):
    @rows(*[(cents, percent) for cents in AMOUNTS for percent in (1, 19, 33, 50, 85, 100)])
    def test_agrees_with_decimal(self, cents, percent):
        exact = (Decimal(cents) * percent / 100).quantize(Decimal(1), ROUND_HALF_UP)
        self.assertEqual(money.share(cents, percent, 100), int(exact))

    @rows((1, 1, 2, 1), (-1, 1, 2, -1), (3, 1, 2, 2), (-3, 1, 2, -2), (5, 1, 10, 1), (4, 1, 10, 0), (-5, 1, 10, -1),
          (7, 1, 3, 2), (8, 1, 3, 3))
    def test_halves_go_away_from_zero(self, cents, numerator, denominator, expected):
        self.assertEqual(money.share(cents, numerator, denominator), expected)

    @rows(0, -1, -100)
    def test_a_denominator_is_positive(self, denominator):
        with self.assertRaises(ValueError):
            money.share(100, 1, denominator)


@expand
class Text(SimpleTestCase):
    @rows((0, "0.00"), (1, "0.01"), (10, "0.10"), (99, "0.99"), (100, "1.00"), (1234, "12.34"), (-5, "-0.05"),
          (-1234, "-12.34"), (100000, "1000.00"))
    def test_is_shown(self, cents, text):
        self.assertEqual(money.show(cents), text)

    @rows(("0", 0), ("12", 1200), ("12.3", 1230), ("12.34", 1234), ("0.01", 1), ("007", 700))
    def test_is_read(self, text, cents):
        self.assertEqual(money.read(text), cents)

    @rows("", ".", ".5", "12.", "-1", "+1", "1,50", "1.234", "1e3", " 1", "1 ", "one", "1.x", "٣")
    def test_is_refused(self, text):
        with self.assertRaises(ValueError):
            money.read(text)

    @rows(*AMOUNTS)
    def test_reads_back_what_it_shows(self, cents):
        self.assertEqual(money.read(money.show(cents)), cents)
