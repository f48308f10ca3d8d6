# SPDX-License-Identifier: MIT
"""What is for sale. Prices are net and in cents, weights in grams."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Product:
    sku: str
    name: str
    category: str  # a key of tax.RATES' rows
    price_cents: int
    weight_grams: int


_ROWS = [
    ("bk-git", "Git in Practice", "book", 2990, 640), ("bk-sql", "SQL for the Curious", "book", 3450, 810),
    ("bk-net", "Networks, Slowly", "book", 4200, 1120), ("bk-poem", "Collected Poems", "book", 1290, 210),
    ("bk-map", "Atlas of Bridges", "book", 5999, 2350), ("bk-cook", "Soup Every Day", "book", 1875, 730),
    ("fd-tea", "Green Tea 100 g", "food", 649, 120), ("fd-rice", "Basmati Rice 1 kg", "food", 389, 1010),
    ("fd-honey", "Heather Honey", "food", 799, 480), ("fd-oil", "Olive Oil 0.5 l", "food", 1149, 920),
    ("fd-choc", "Dark Chocolate", "food", 249, 105), ("fd-salt", "Sea Salt", "food", 199, 260),
    ("st-mug", "Mug", "standard", 899, 350), ("st-pen", "Fountain Pen", "standard", 3499, 45),
    ("st-bag", "Canvas Bag", "standard", 1499, 180), ("st-lamp", "Desk Lamp", "standard", 6450, 1850),
    ("st-clock", "Wall Clock", "standard", 2725, 720), ("st-chair", "Folding Chair", "standard", 4333, 4100),
    ("st-cable", "USB Cable 1 m", "standard", 715, 40), ("st-disk", "Disk 2 TB", "standard", 7901, 160),
    ("st-key", "Keyboard", "standard", 8450, 950), ("st-note", "Notebook A5", "standard", 425, 230),
    ("st-tape", "Masking Tape", "standard", 101, 70), ("st-pin", "Drawing Pin", "standard", 1, 1),
]
PRODUCTS = {row[0]: Product(*row) for row in _ROWS}


class UnknownProduct(KeyError):
    """No product has this number."""


def find(sku):
    try:
        return PRODUCTS[sku]
    except KeyError:
        raise UnknownProduct(sku) from None


def search(text):
    """Products whose name holds every word of `text`, in catalogue order; all of them for an empty text."""
    words = text.lower().split()
    return [product for product in PRODUCTS.values() if all(word in product.name.lower() for word in words)]
