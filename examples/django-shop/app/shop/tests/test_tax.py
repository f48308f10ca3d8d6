# SPDX-License-Identifier: MIT
from fractions import Fraction
from math import floor

from django.test import SimpleTestCase

from shop import tax
from shop.tests.table import expand, rows

# Per cent, as the laws say it; the shop keeps per mille.
LAW = {
    ("DE", "standard"): "19", ("DE", "book"): "7", ("DE", "food"): "7",
    ("AT", "standard"): "20", ("AT", "book"): "10", ("AT", "food"): "10",
    ("FR", "standard"): "20", ("FR", "book"): "5.5", ("FR", "food"): "5.5",
    ("IT", "standard"): "22", ("IT", "book"): "4", ("IT", "food"): "10",
    ("ES", "standard"): "21", ("ES", "book"): "4", ("ES", "food"): "10",
    ("DK", "standard"): "25", ("DK", "book"): "25", ("DK", "food"): "25",
    ("IE", "standard"): "23", ("IE", "book"): "0", ("IE", "food"): "0",
    ("CH", "standard"): "8.1", ("CH", "book"): "2.6", ("CH", "food"): "2.6",
}
AMOUNTS = [0, 50, 999, 123456]


def nearest(number):
    return floor(number + Fraction(1, 2))


@expand
class Tax(SimpleTestCase):
    @rows(*[(country, category, net) for country, category in LAW for net in AMOUNTS])
    def test_on_a_net_amount(self, country, category, net):
        expected = nearest(Fraction(LAW[country, category]) * net / 100)
        self.assertEqual(tax.on(net, country, category), expected)

    @rows(*[(country, category) for country, category in LAW])
    def test_within_a_gross_amount(self, country, category):
        percent = Fraction(LAW[country, category])
        self.assertEqual(tax.within(11900, country, category), nearest(11900 * percent / (100 + percent)))

    @rows(*[(country, category) for country, category in LAW])
    def test_within_is_the_inverse_of_on(self, country, category):
        net = 54321
        added = tax.on(net, country, category)
        self.assertAlmostEqual(tax.within(net + added, country, category), added, delta=1)

    @rows(*[country for country in tax.RATES if country != "DE"])
    def test_a_business_abroad_pays_it_itself(self, country):
        self.assertEqual(tax.on(10000, country, "standard", business=True), 0)

    def test_a_business_at_home_is_charged(self):
        self.assertEqual(tax.on(10000, "DE", "standard", business=True), 1900)

    @rows("", "de", "UK", "US", "XX", "DEU")
    def test_an_unknown_country_is_refused(self, country):
        with self.assertRaises(tax.UnknownCountry):
            tax.rate(country, "standard")
