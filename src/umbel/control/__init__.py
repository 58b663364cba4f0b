"""Celery's remote control."""
