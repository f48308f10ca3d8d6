# SPDX-License-Identifier: MIT
import os
import time
from unittest import mock

from django.test import SimpleTestCase

from shop import banner, catalogue, money, release, store
from shop.tests.table import expand, rows

SKUS = list(catalogue.PRODUCTS)


class WithRedis(SimpleTestCase):
    """A real Redis, empty before each test: it is the test run's own."""

    def setUp(self):
        store.client().flushdb()


@expand
class Pages(WithRedis):
    def test_front_greets_and_names_the_release(self):
        answer = self.client.get("/")
        self.assertContains(answer, banner.TEXT)
        self.assertContains(answer, release.COMMIT)

    @rows(*SKUS)
    def test_front_links_to(self, sku):
        self.assertContains(self.client.get("/"), f'href="/product/{sku}"', count=1)

    @rows(("mug", 1), ("a", 24), ("zebra", 0), ("book", 1))
    def test_search_shows_what_it_finds(self, query, most):
        answer = self.client.get("/", {"q": query})
        found = answer.content.decode().count("href=")
        self.assertEqual(found, len(catalogue.search(query)))
        self.assertLessEqual(found, most)

    @rows("<script>", '"><b>', "<i>")
    def test_search_escapes(self, query):
        self.assertNotIn(query, self.client.get("/", {"q": query}).content.decode())

    @rows(*SKUS)
    def test_product(self, sku):
        answer = self.client.get(f"/product/{sku}").json()
        self.assertEqual(money.read(answer["price"]), catalogue.find(sku).price_cents)
        self.assertEqual(answer["name"], catalogue.find(sku).name)

    @rows("none", "ST-MUG", "0")
    def test_no_such_product(self, sku):
        self.assertEqual(self.client.get(f"/product/{sku}").status_code, 404)

    @rows("/nowhere", "/product/", "/basket/", "/product/a/b", "/health/x", "/order/x")
    def test_no_such_page(self, path):
        self.assertEqual(self.client.get(path).status_code, 404)

    @rows(*[(method, path) for method in ("post", "put", "delete", "patch")
            for path in ("/", "/product/st-mug", "/slow", "/health")])
    def test_reading_pages_only_read(self, method, path):
        self.assertEqual(getattr(self.client, method)(path).status_code, 405)

    @rows("get", "put", "delete", "patch", "head")
    def test_orders_are_posted(self, method):
        self.assertEqual(getattr(self.client, method)("/order").status_code, 405)

    @rows("/", "/health", "/slow?ms=0", "/product/st-mug", "/product/none", "/nowhere", "/basket/b1", "/order")
    def test_every_answer_names_its_release(self, path):
        self.assertEqual(self.client.get(path)["X-Version"], release.COMMIT)

    @rows(0, 1, 30)
    def test_slow_takes_its_time(self, wait_ms):
        began = time.monotonic()
        self.assertEqual(self.client.get("/slow", {"ms": wait_ms}).json(), {"slept_ms": wait_ms})
        self.assertGreaterEqual((time.monotonic() - began) * 1000, wait_ms)

    @rows("-1", "x", "1.5", "10001", "99999999999", "", " 1", "٣")
    def test_slow_has_limits(self, wait_ms):
        self.assertEqual(self.client.get("/slow", {"ms": wait_ms}).status_code, 400)


class Health(SimpleTestCase):
    def test_names_the_commit(self):
        answer = self.client.get("/health")
        self.assertEqual((answer.status_code, answer.json()["commit"]), (200, release.COMMIT))

    def test_a_missing_setting_is_ill(self):
        with mock.patch.dict(os.environ):
            del os.environ["SHOP_REDIS_URL"]
            answer = self.client.get("/health")
        self.assertEqual(answer.status_code, 503)
        self.assertIn("SHOP_REDIS_URL", answer.json()["status"])

    def test_does_not_depend_on_redis(self):
        with self.settings(REDIS_URL="redis://127.0.0.1:1/0"):
            self.assertEqual(self.client.get("/health").status_code, 200)


@expand
class Baskets(WithRedis):
    def put(self, sku, quantity):
        return self.client.post("/basket/b1", {"sku": sku, "quantity": quantity})

    @rows(*[(sku, quantity) for sku in SKUS for quantity in (1, 12)])
    def test_keeps_a_line(self, sku, quantity):
        self.put(sku, quantity)
        self.assertEqual(self.client.get("/basket/b1").json()["lines"], {sku: quantity})

    @rows((1, "8.99"), (2, "17.98"), (10, "85.41"), (50, "404.55"), (100, "764.15"), (999, "7633.86"))
    def test_adds_up(self, quantity, goods):
        self.assertEqual(self.put("st-mug", quantity).json()["goods"], goods)

    def test_adds_up_several_lines(self):
        self.put("st-mug", 2)
        self.assertEqual(self.put("bk-git", 1).json()["goods"], "47.88")

    @rows(1, 5, 999)
    def test_the_last_quantity_counts(self, quantity):
        self.put("st-pen", 7)
        self.assertEqual(self.put("st-pen", quantity).json()["lines"], {"st-pen": quantity})

    def test_nothing_takes_a_line_out(self):
        self.put("st-pen", 7)
        self.put("st-mug", 1)
        self.assertEqual(self.put("st-pen", 0).json()["lines"], {"st-mug": 1})

    def test_delete_empties(self):
        self.put("st-pen", 7)
        self.assertEqual(self.client.delete("/basket/b1").json(), {"lines": {}, "goods": "0.00"})

    def test_baskets_are_apart(self):
        self.put("st-pen", 7)
        self.assertEqual(self.client.get("/basket/b2").json()["lines"], {})

    @rows("-1", "1000", "x", "1.0", "", "1e2")
    def test_a_wrong_quantity_changes_nothing(self, quantity):
        self.put("st-pen", 7)
        self.assertEqual(self.put("st-pen", quantity).status_code, 400)
        self.assertEqual(self.client.get("/basket/b1").json()["lines"], {"st-pen": 7})

    @rows("", "none", "ST-PEN")
    def test_an_unknown_product_changes_nothing(self, sku):
        self.assertEqual(self.put(sku, 1).status_code, 404)
        self.assertEqual(self.client.get("/basket/b1").json()["lines"], {})

    def test_does_not_last_for_ever(self):
        self.put("st-pen", 1)
        self.assertGreater(store.client().ttl("basket:b1"), 3600)

    def test_has_a_limit(self):
        store.client().hset("basket:b1", mapping={f"x{number}": 1 for number in range(store.MOST_LINES)})
        with self.assertRaises(store.BasketFull):
            store.put("b1", "st-pen", 1)


@expand
class Orders(WithRedis):
    def order(self, **fields):
        return self.client.post("/order", {"request_id": "r1", "sku": "st-mug", **fields})

    @rows(*SKUS)
    def test_one_product(self, sku):
        answer = self.order(sku=sku)
        self.assertEqual((answer.status_code, answer.json()["executions"]), (201, 1))
        self.assertEqual(money.read(answer.json()["order"]["goods"]), catalogue.find(sku).price_cents)

    @rows(2, 3, 5)
    def test_asked_again_gives_the_first_order(self, times):
        first = self.order(quantity=1).json()["order"]
        for number in range(2, times + 1):
            answer = self.order(quantity=9)
            self.assertEqual((answer.status_code, answer.json()["order"]), (200, first))
            self.assertEqual(answer.json()["executions"], number)
        self.assertEqual(store.executions(), {"r1": times})

    @rows(1, 4, 20)
    def test_each_request_counts_once(self, count):
        for number in range(count):
            self.order(request_id=f"r{number}")
        self.assertEqual(store.executions(), {f"r{number}": 1 for number in range(count)})

    def test_a_basket_is_ordered_and_emptied(self):
        store.put("b1", "st-mug", 2)
        answer = self.client.post("/order", {"request_id": "r1", "basket": "b1"})
        self.assertEqual(answer.json()["order"]["lines"], {"st-mug": 2})
        self.assertEqual(store.basket("b1"), {})
        again = self.client.post("/order", {"request_id": "r1", "basket": "b1"})
        self.assertEqual((again.status_code, again.json()["order"]), (200, answer.json()["order"]))

    def test_an_empty_basket_is_no_order(self):
        self.assertEqual(self.client.post("/order", {"request_id": "r1", "basket": "b1"}).status_code, 400)

    @rows("", "a b", "a/b", "x" * 65, "ä", "a\n")
    def test_a_request_needs_a_plain_id(self, request_id):
        self.assertEqual(self.order(request_id=request_id).status_code, 400)
        self.assertEqual(store.executions(), {})

    @rows(("quantity", "0"), ("quantity", "1000"), ("quantity", "x"), ("country", "US"), ("coupon", "NOPE"),
          ("coupon", "SPRING21"), ("coupon", "FIFTY"), ("ms", "-1"), ("ms", "10001"))
    def test_a_refused_order_leaves_nothing(self, field, value):
        self.assertEqual(self.order(**{field: value}).status_code, 400)
        self.assertEqual((store.executions(), store.find_order("r1")), ({}, None))

    @rows(("DE", "2.26", "14.15"), ("AT", "3.58", "21.47"), ("FR", "3.58", "21.47"), ("IE", "4.12", "22.01"),
          ("DK", "4.48", "22.37"), ("CH", "1.45", "19.34"))
    def test_by_country(self, country, taxes, total):
        order = self.order(country=country).json()["order"]
        self.assertEqual((order["tax"], order["total"]), (taxes, total))

    def test_a_business_abroad(self):
        self.assertEqual(self.order(country="FR", business="yes").json()["order"]["tax"], "0.00")

    def test_with_a_coupon(self):
        self.assertEqual(self.order(coupon="five").json()["order"]["reduction"], "5.00")

    def test_slow_after_the_fact(self):
        began = time.monotonic()
        self.assertEqual(self.order(ms=30).status_code, 201)
        self.assertGreaterEqual(time.monotonic() - began, 0.03)
