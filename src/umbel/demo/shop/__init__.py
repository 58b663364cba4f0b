"""A shop's Celery application, with everything that goes wrong in one: ``celery -A umbel.demo.shop worker``."""

from __future__ import annotations

from umbel.demo.shop import images, mail, orders, payments, reports, search, stock
from umbel.demo.shop.application import app

__all__ = ["app", "images", "mail", "orders", "payments", "reports", "search", "stock"]
