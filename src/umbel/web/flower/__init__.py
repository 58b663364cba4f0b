"""Flower's HTTP API, as its version 2.2 answers; docs/from-flower.md lists what differs, and why."""
