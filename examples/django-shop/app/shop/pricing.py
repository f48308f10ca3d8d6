# SPDX-License-Identifier: MIT
"""What a line of a basket costs, and what sending it costs. All amounts net and in cents."""
from shop import money

MOST_PER_LINE = 999
# (from this quantity on, percent off), the largest first.
QUANTITY_DISCOUNTS = [(100, 15), (50, 10), (10, 5)]

FREE_SHIPPING_FROM = 5000
# (up to grams, cents at home, cents abroad)
SHIPPING = [(500, 290, 890), (1000, 390, 1190), (2000, 490, 1590), (5000, 690, 1990), (10000, 990, 2990)]
HEAVY_PER_STARTED_KILOGRAM = 150
HOME = "DE"


class InvalidQuantity(ValueError):
    """A quantity outside 1 to MOST_PER_LINE."""


def quantity_discount(quantity):
    """Percent off for so many of one product."""
    for least, percent in QUANTITY_DISCOUNTS:
        if quantity >= least:
            return percent
    return 0


def line_total(price_cents, quantity):
    """Net price of `quantity` pieces, discount included."""
    if not 1 <= quantity <= MOST_PER_LINE:
        raise InvalidQuantity(quantity)
    return money.share(price_cents * quantity, 100 - quantity_discount(quantity), 100)


def shipping(weight_grams, country, goods_cents):
    """What sending costs; nothing for nothing, and nothing at home from FREE_SHIPPING_FROM on."""
    if weight_grams == 0 or (country == HOME and goods_cents >= FREE_SHIPPING_FROM):
        return 0
    column = 1 if country == HOME else 2
    for row in SHIPPING:
        if weight_grams <= row[0]:
            return row[column]
    heaviest = SHIPPING[-1]
    kilograms = -(-(weight_grams - heaviest[0]) // 1000)
    return heaviest[column] + kilograms * HEAVY_PER_STARTED_KILOGRAM
