"""Umbel watches Celery: it captures every event, keeps the history and tells the truth about loss."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
