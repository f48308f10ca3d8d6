# SPDX-License-Identifier: MIT
from fractions import Fraction
from math import floor

from django.test import SimpleTestCase

from shop import pricing
from shop.tests.table import expand, rows

PRICES = [1, 99, 101, 715, 4333, 8450]
# Written out and not read from the shop: a changed step has to be changed here as well.
PERCENT_OFF = {1: 0, 2: 0, 9: 0, 10: 5, 11: 5, 49: 5, 50: 10, 51: 10, 99: 10, 100: 15, 101: 15, 500: 15, 999: 15}


@expand
class LineTotal(SimpleTestCase):
    @rows(*[(price, quantity) for price in PRICES for quantity in PERCENT_OFF])
    def test_is_price_times_quantity_less_discount(self, price, quantity):
        exact = Fraction(price * quantity * (100 - PERCENT_OFF[quantity]), 100)
        self.assertEqual(pricing.line_total(price, quantity), floor(exact + Fraction(1, 2)))

    @rows(*PERCENT_OFF.items())
    def test_discount(self, quantity, percent):
        self.assertEqual(pricing.quantity_discount(quantity), percent)

    @rows(0, -1, -999, 1000, 5000)
    def test_a_quantity_outside_is_refused(self, quantity):
        with self.assertRaises(pricing.InvalidQuantity):
            pricing.line_total(100, quantity)

    @rows(*PRICES)
    def test_one_more_never_makes_a_small_line_cheaper(self, price):
        totals = [pricing.line_total(price, quantity) for quantity in range(1, 10)]
        self.assertEqual(totals, sorted(totals))


@expand
class Shipping(SimpleTestCase):
    @rows((1, 290), (499, 290), (500, 290), (501, 390), (1000, 390), (1001, 490), (2000, 490), (2001, 690), (5000, 690),
          (5001, 990), (10000, 990), (10001, 1140), (11000, 1140), (11001, 1290), (20000, 2490))
    def test_at_home_goes_by_weight(self, grams, cents):
        self.assertEqual(pricing.shipping(grams, "DE", 4999), cents)

    @rows(*[(country, grams, cents) for country in ("AT", "FR", "IT", "CH")
            for grams, cents in ((1, 890), (500, 890), (501, 1190), (1001, 1590), (2001, 1990), (5001, 2990),
                                 (10000, 2990), (10001, 3140), (12500, 3440))])
    def test_abroad_goes_by_weight(self, country, grams, cents):
        self.assertEqual(pricing.shipping(grams, country, 4999), cents)

    @rows((4998, 290), (4999, 290), (5000, 0), (5001, 0), (100000, 0))
    def test_is_free_at_home_from_fifty_on(self, goods, cents):
        self.assertEqual(pricing.shipping(400, "DE", goods), cents)

    @rows("AT", "FR", "IT", "ES", "DK", "IE", "CH")
    def test_is_never_free_abroad(self, country):
        self.assertEqual(pricing.shipping(400, country, 100000), 890)

    @rows("DE", "AT", "CH")
    def test_nothing_costs_nothing(self, country):
        self.assertEqual(pricing.shipping(0, country, 0), 0)
