# SPDX-License-Identifier: MIT
"""Which address is answered by what."""
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.front),
    path("product/<slug:sku>", views.product),
    path("basket/<slug:basket_id>", views.basket),
    path("order", views.order),
    path("slow", views.slow),
    path("health", views.health),
]
