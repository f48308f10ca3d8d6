# SPDX-License-Identifier: MIT
"""The shop's pages. Clients that order carry no cookies, so there is no session and nothing for CSRF to protect."""
import re
import time

from django.conf import settings
from django.http import HttpResponseNotAllowed, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from shop import banner, catalogue, coupons, health as node_health, money, orders, pricing, release, store, tax

MOST_SLOW_MS = 10000
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class BadInput(ValueError):
    """What was wrong with a request, for its sender."""


def _whole(text, name, least, most):
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise BadInput(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _refused(error, status=400):
    return JsonResponse({"error": str(error)}, status=status)


@require_GET
def front(request):
    query = request.GET.get("q", "")[:100]
    return render(request, "front.html", {
        "banner": banner.TEXT, "query": query, "products": catalogue.search(query), "commit": release.COMMIT,
        "node": settings.NODE_NAME})


@require_GET
def product(request, sku):
    try:
        found = catalogue.find(sku)
    except catalogue.UnknownProduct:
        return _refused(f"no product {sku}", 404)
    return JsonResponse({"sku": found.sku, "name": found.name, "category": found.category,
                         "price": money.show(found.price_cents), "weight_grams": found.weight_grams})


def basket(request, basket_id):
    """GET shows it, POST sets one line (`sku`, `quantity`), DELETE empties it."""
    if request.method == "POST":
        try:
            catalogue.find(request.POST.get("sku", ""))
            quantity = _whole(request.POST.get("quantity", "1"), "quantity", 0, pricing.MOST_PER_LINE)
            store.put(basket_id, request.POST["sku"], quantity)
        except catalogue.UnknownProduct as error:
            return _refused(f"no product {error.args[0]}", 404)
        except (BadInput, store.BasketFull) as error:
            return _refused(error)
    elif request.method == "DELETE":
        store.empty(basket_id)
    elif request.method != "GET":
        return HttpResponseNotAllowed(["GET", "POST", "DELETE"])
    lines = store.basket(basket_id)
    goods = sum(pricing.line_total(catalogue.find(sku).price_cents, quantity) for sku, quantity in lines.items())
    return JsonResponse({"lines": lines, "goods": money.show(goods)})


@require_POST
def order(request):
    """Orders a basket (`basket`) or one product (`sku`, `quantity`). Asked twice with one `request_id` it gives the
    first order again. `ms` makes it slow after the fact, as a payment provider would."""
    try:
        request_id = request.POST.get("request_id", "")
        if not REQUEST_ID.match(request_id):
            raise BadInput("request_id must be 1 to 64 of A-Z a-z 0-9 . _ -")
        wait_ms = _whole(request.POST.get("ms", "0"), "ms", 0, MOST_SLOW_MS)
        saved, new = store.find_order(request_id), False
        if saved is None:
            saved, new = store.save_order(request_id, _new_order(request))
    except catalogue.UnknownProduct as error:
        return _refused(f"no product {error.args[0]}", 404)
    except tax.UnknownCountry as error:
        return _refused(f"we do not send to {error}")
    except (BadInput, coupons.CouponRefused) as error:
        return _refused(error)
    times = store.count_execution(request_id)
    if new and "basket" in request.POST:
        store.empty(request.POST["basket"])
    time.sleep(wait_ms / 1000)
    return JsonResponse({"order": saved, "executions": times}, status=201 if new else 200)


def _new_order(request):
    lines = _lines(request)
    bill = orders.bill(lines, request.POST.get("country", pricing.HOME), timezone.now().date(),
                       request.POST.get("coupon", ""), request.POST.get("business") == "yes")
    return {"lines": lines, "goods": money.show(bill.goods_cents), "shipping": money.show(bill.shipping_cents),
            "reduction": money.show(bill.reduction_cents), "tax": money.show(bill.tax_cents),
            "total": money.show(bill.total_cents)}


def _lines(request):
    if "basket" in request.POST:
        lines = store.basket(request.POST["basket"])
        if not lines:
            raise BadInput("the basket is empty")
        return lines
    sku = request.POST.get("sku", "")
    catalogue.find(sku)
    return {sku: _whole(request.POST.get("quantity", "1"), "quantity", 1, pricing.MOST_PER_LINE)}


@require_GET
def slow(request):
    """Answers after `ms` milliseconds: a request that is in flight while a node is taken out of service."""
    try:
        wait_ms = _whole(request.GET.get("ms", "800"), "ms", 0, MOST_SLOW_MS)
    except BadInput as error:
        return _refused(error)
    time.sleep(wait_ms / 1000)
    return JsonResponse({"slept_ms": wait_ms})


@require_GET
def health(request):
    missing = node_health.missing()
    answer = {"status": "missing " + ", ".join(missing) if missing else "ok", "commit": release.COMMIT,
              "node": settings.NODE_NAME}
    return JsonResponse(answer, status=503 if missing else 200)
