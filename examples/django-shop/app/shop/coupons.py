# SPDX-License-Identifier: MIT
"""Coupons: a share, a sum or free shipping, from a least value of goods on and until a day."""
import dataclasses
import datetime

from shop import money


@dataclasses.dataclass(frozen=True)
class Coupon:
    code: str
    kind: str  # percent | sum | shipping
    value: int  # percent, or cents
    least_goods_cents: int
    last_day: datetime.date


class CouponRefused(ValueError):
    """Why a coupon does not count, for the customer."""


COUPONS = {coupon.code: coupon for coupon in [
    Coupon("TEN", "percent", 10, 0, datetime.date(2030, 12, 31)),
    Coupon("QUARTER", "percent", 25, 10000, datetime.date(2030, 12, 31)),
    Coupon("FIVE", "sum", 500, 0, datetime.date(2030, 12, 31)),
    Coupon("FIFTY", "sum", 5000, 20000, datetime.date(2030, 12, 31)),
    Coupon("SEND", "shipping", 0, 2500, datetime.date(2030, 12, 31)),
    Coupon("SPRING21", "percent", 20, 0, datetime.date(2021, 6, 20)),
]}


def find(code):
    try:
        return COUPONS[code.strip().upper()]
    except KeyError:
        raise CouponRefused("there is no such coupon") from None


def reduction(coupon, goods_cents, shipping_cents, today):
    """How much it takes off, never more than there is to take off."""
    if today > coupon.last_day:
        raise CouponRefused(f"this coupon ended on {coupon.last_day.isoformat()}")
    if goods_cents < coupon.least_goods_cents:
        raise CouponRefused(f"this coupon is for {money.show(coupon.least_goods_cents)} and more")
    if coupon.kind == "percent":
        return money.share(goods_cents, coupon.value, 100)
    if coupon.kind == "sum":
        return min(coupon.value, goods_cents)
    return shipping_cents
