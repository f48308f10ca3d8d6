# SPDX-License-Identifier: MIT
"""From a basket to a bill. Pure arithmetic: knows no web and no store."""
import dataclasses

from shop import catalogue, coupons, pricing, tax


@dataclasses.dataclass(frozen=True)
class Bill:
    goods_cents: int
    shipping_cents: int
    reduction_cents: int
    tax_cents: int

    @property
    def total_cents(self):
        return self.goods_cents + self.shipping_cents - self.reduction_cents + self.tax_cents


def bill(lines, country, today, coupon_code="", business=False):
    """`lines`: sku -> quantity. The tax of each category is worked out on its own sum; shipping bears the standard
    rate; a reduction lowers what was bought, not the tax on it (it is our loss, not the state's)."""
    net = {}
    weight = 0
    for sku, quantity in lines.items():
        product = catalogue.find(sku)
        net[product.category] = net.get(product.category, 0) + pricing.line_total(product.price_cents, quantity)
        weight += product.weight_grams * quantity
    goods = sum(net.values())
    shipping = pricing.shipping(weight, country, goods)
    taxes = sum(tax.on(cents, country, category, business) for category, cents in net.items())
    taxes += tax.on(shipping, country, "standard", business)
    reduction = coupons.reduction(coupons.find(coupon_code), goods, shipping, today) if coupon_code else 0
    return Bill(goods, shipping, reduction, taxes)
