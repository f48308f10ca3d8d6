# SPDX-License-Identifier: MIT
"""Whether this process can serve. Redis is left out on purpose: when it is away, it is away for every node, and taking
them all out of service would turn a slow page into no page.
"""
import os

# Settings of the node without which orders cannot be taken.
REQUIRED = ("SHOP_REDIS_URL",)


def missing():
    """The required settings that this node lacks."""
    return [name for name in REQUIRED if not os.environ.get(name)]
