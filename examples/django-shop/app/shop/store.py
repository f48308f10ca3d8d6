# SPDX-License-Identifier: MIT
"""Baskets and orders in Redis. One connection pool a process, made at first use."""
import functools
import json

import redis
from django.conf import settings

BASKET_SECONDS = 7 * 24 * 3600
MOST_LINES = 50


class BasketFull(ValueError):
    """More lines than a basket takes."""


@functools.lru_cache(maxsize=4)
def _client(url):
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=2)


def client():
    return _client(settings.REDIS_URL)


def basket(basket_id):
    """What is in a basket: sku -> quantity."""
    return {sku: int(quantity) for sku, quantity in client().hgetall(f"basket:{basket_id}").items()}


def put(basket_id, sku, quantity):
    """Sets the quantity of one line; 0 takes it out."""
    key = f"basket:{basket_id}"
    if quantity == 0:
        client().hdel(key, sku)
        return
    if not client().hexists(key, sku) and client().hlen(key) >= MOST_LINES:
        raise BasketFull(f"a basket takes {MOST_LINES} lines")
    with client().pipeline() as batch:
        batch.hset(key, sku, quantity)
        batch.expire(key, BASKET_SECONDS)
        batch.execute()


def empty(basket_id):
    client().delete(f"basket:{basket_id}")


def count_execution(request_id):
    """Notes that an order request ran; how often it has by now. A 2 is a request that was run twice."""
    return client().hincrby("executions", request_id, 1)


def executions():
    return {request_id: int(times) for request_id, times in client().hgetall("executions").items()}


def find_order(request_id):
    """The order stored under a request id, or None."""
    text = client().get(f"order:{request_id}")
    return json.loads(text) if text else None


def save_order(request_id, order):
    """Stores an order under its request id, the first time only. Returns what is stored, and whether it is new."""
    key = f"order:{request_id}"
    text = json.dumps(order, sort_keys=True)
    if client().set(key, text, nx=True):
        return order, True
    return json.loads(client().get(key)), False
