# SPDX-License-Identifier: MIT
import datetime

from django.test import SimpleTestCase

from shop import coupons
from shop.tests.table import expand, rows

DAY = datetime.date(2026, 1, 15)


@expand
class Reduction(SimpleTestCase):
    @rows(("TEN", 0, 0), ("TEN", 5, 1), ("TEN", 4, 0), ("TEN", 99, 10), ("TEN", 1000, 100), ("TEN", 12345, 1235),
          ("QUARTER", 10000, 2500), ("QUARTER", 10001, 2500), ("QUARTER", 10002, 2501), ("QUARTER", 99999, 25000),
          ("FIVE", 0, 0), ("FIVE", 1, 1), ("FIVE", 499, 499), ("FIVE", 500, 500), ("FIVE", 501, 500),
          ("FIVE", 100000, 500), ("FIFTY", 20000, 5000), ("FIFTY", 20001, 5000), ("FIFTY", 90000, 5000))
    def test_of_goods(self, code, goods, expected):
        self.assertEqual(coupons.reduction(coupons.find(code), goods, 490, DAY), expected)

    @rows(*[(goods, shipping) for goods in (2500, 2501, 10000) for shipping in (0, 290, 1590)])
    def test_of_shipping(self, goods, shipping):
        self.assertEqual(coupons.reduction(coupons.find("SEND"), goods, shipping, DAY), shipping)

    @rows(("QUARTER", 9999, "100.00"), ("QUARTER", 0, "100.00"), ("FIFTY", 19999, "200.00"), ("FIFTY", 5000, "200.00"),
          ("SEND", 2499, "25.00"), ("SEND", 0, "25.00"))
    def test_needs_enough_goods(self, code, goods, least):
        with self.assertRaisesMessage(coupons.CouponRefused, least):
            coupons.reduction(coupons.find(code), goods, 490, DAY)

    @rows(*[(code, goods) for code in ("TEN", "FIVE") for goods in (1, 49, 500, 2999, 70000)])
    def test_never_exceeds_the_goods(self, code, goods):
        self.assertLessEqual(coupons.reduction(coupons.find(code), goods, 0, DAY), goods)


@expand
class Validity(SimpleTestCase):
    @rows((2021, 6, 19), (2021, 6, 20), (2020, 1, 1))
    def test_until_its_last_day(self, year, month, day):
        coupon = coupons.find("SPRING21")
        self.assertEqual(coupons.reduction(coupon, 1000, 0, datetime.date(year, month, day)), 200)

    @rows((2021, 6, 21), (2021, 7, 1), (2026, 1, 1))
    def test_and_not_after(self, year, month, day):
        with self.assertRaisesMessage(coupons.CouponRefused, "2021-06-20"):
            coupons.reduction(coupons.find("SPRING21"), 1000, 0, datetime.date(year, month, day))

    @rows("TEN", "ten", " Ten", "tEN ", "\tTEN\n")
    def test_is_found_however_it_is_typed(self, code):
        self.assertEqual(coupons.find(code).code, "TEN")

    @rows("", " ", "ELEVEN", "TEN TEN", "T-E-N", "0")
    def test_others_are_refused(self, code):
        with self.assertRaisesMessage(coupons.CouponRefused, "no such coupon"):
            coupons.find(code)
