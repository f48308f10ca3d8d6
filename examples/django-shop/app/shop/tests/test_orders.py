# SPDX-License-Identifier: MIT
import datetime
from fractions import Fraction
from math import floor

from django.test import SimpleTestCase

from shop import catalogue, coupons, orders, tax
from shop.tests.table import expand, rows
from shop.tests.test_tax import LAW

DAY = datetime.date(2026, 1, 15)


def nearest(number):
    return floor(number + Fraction(1, 2))


@expand
class Bills(SimpleTestCase):
    # lines, country, coupon, goods, shipping, reduction, tax: worked out by hand.
    @rows(({"st-mug": 1}, "DE", "", 899, 290, 0, 171 + 55), ({"st-mug": 2}, "DE", "", 1798, 390, 0, 342 + 74),
          ({"bk-git": 1}, "DE", "", 2990, 390, 0, 209 + 74), ({"bk-git": 2}, "DE", "", 5980, 0, 0, 419),
          ({"st-mug": 1, "bk-poem": 1}, "DE", "", 2189, 390, 0, 171 + 90 + 74),
          ({"st-pin": 1}, "DE", "", 1, 290, 0, 0 + 55), ({"st-pin": 1}, "DE", "FIVE", 1, 290, 1, 55),
          ({"st-lamp": 1}, "DE", "TEN", 6450, 0, 645, 1226), ({"st-lamp": 1}, "AT", "", 6450, 1590, 0, 1290 + 318),
          ({"fd-salt": 10}, "DE", "", 1891, 690, 0, 132 + 131), ({"bk-map": 1}, "IE", "", 5999, 1990, 0, 0 + 458),
          ({"st-chair": 1}, "DE", "SEND", 4333, 690, 690, 823 + 131), ({"st-pen": 1}, "CH", "", 3499, 890, 0, 283 + 72),
          ({"st-key": 100}, "DE", "FIFTY", 718250, 0, 5000, 136468))
    def test_worked_out_by_hand(self, lines, country, coupon, goods, shipping, reduction, taxes):
        bill = orders.bill(lines, country, DAY, coupon)
        self.assertEqual(bill, orders.Bill(goods, shipping, reduction, taxes))
        self.assertEqual(bill.total_cents, goods + shipping - reduction + taxes)

    @rows(*[(sku, country) for sku in catalogue.PRODUCTS for country in ("FR", "CH")])
    def test_one_piece_bears_its_own_rate(self, sku, country):
        product = catalogue.find(sku)
        bill = orders.bill({sku: 1}, country, DAY)
        on_goods = nearest(Fraction(LAW[country, product.category]) * product.price_cents / 100)
        on_shipping = nearest(Fraction(LAW[country, "standard"]) * bill.shipping_cents / 100)
        self.assertEqual((bill.goods_cents, bill.tax_cents), (product.price_cents, on_goods + on_shipping))

    @rows(*[country for country in tax.RATES if country != "DE"])
    def test_a_business_abroad_pays_goods_and_shipping_only(self, country):
        bill = orders.bill({"st-lamp": 2, "bk-git": 1}, country, DAY, business=True)
        self.assertEqual(bill.tax_cents, 0)
        self.assertEqual(bill.total_cents, bill.goods_cents + bill.shipping_cents)

    @rows("DE", "FR", "CH")
    def test_the_order_of_lines_does_not_matter(self, country):
        one = orders.bill({"st-mug": 3, "bk-git": 1, "fd-tea": 7}, country, DAY)
        other = orders.bill({"fd-tea": 7, "st-mug": 3, "bk-git": 1}, country, DAY)
        self.assertEqual(one, other)

    @rows("st-mugg", "", "MUG")
    def test_an_unknown_product_is_refused(self, sku):
        with self.assertRaises(catalogue.UnknownProduct):
            orders.bill({"st-mug": 1, sku: 1}, "DE", DAY)

    @rows("QUARTER", "FIFTY", "SEND", "SPRING21", "NOPE")
    def test_a_coupon_that_does_not_fit_is_refused(self, code):
        with self.assertRaises(coupons.CouponRefused):
            orders.bill({"st-mug": 1}, "DE", DAY, code)
