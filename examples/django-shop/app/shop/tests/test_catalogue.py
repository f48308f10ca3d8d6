# SPDX-License-Identifier: MIT
from django.test import SimpleTestCase

from shop import catalogue, tax
from shop.tests.table import expand, rows

SKUS = list(catalogue.PRODUCTS)


@expand
class Catalogue(SimpleTestCase):
    @rows(*SKUS)
    def test_is_found_by_its_number(self, sku):
        self.assertEqual(catalogue.find(sku).sku, sku)

    @rows(*SKUS)
    def test_can_be_sold_and_sent(self, sku):
        product = catalogue.find(sku)
        self.assertGreater(product.price_cents, 0)
        self.assertGreater(product.weight_grams, 0)

    @rows(*[(sku, country) for sku in SKUS[::3] for country in ("DE", "IT", "CH")])
    def test_has_a_tax_rate_everywhere(self, sku, country):
        self.assertLess(tax.rate(country, catalogue.find(sku).category), 300)

    @rows(*SKUS)
    def test_is_found_by_its_name(self, sku):
        product = catalogue.find(sku)
        self.assertIn(product, catalogue.search(product.name.upper()))

    @rows(("mug", ["st-mug"]), ("a5", ["st-note"]), ("green tea", ["fd-tea"]), ("tea green", ["fd-tea"]),
          ("nothing like it", []), ("1 m", ["fd-rice", "st-cable"]), ("disk tb", ["st-disk"]))
    def test_search(self, text, expected):
        self.assertEqual([product.sku for product in catalogue.search(text)], expected)

    def test_an_empty_search_finds_everything(self):
        self.assertEqual(len(catalogue.search(" ")), len(SKUS))

    def test_numbers_and_names_are_unique(self):
        self.assertEqual(len({product.name for product in catalogue.PRODUCTS.values()}), len(SKUS))

    @rows("", "ST-MUG", "st_mug", "mug", "../st-mug")
    def test_unknown_numbers_are_refused(self, sku):
        with self.assertRaises(catalogue.UnknownProduct):
            catalogue.find(sku)
