"""A small world to watch: a real Redis, real Celery workers of a made-up shop, and a producer that keeps them busy."""

from __future__ import annotations
