"""Tests of the stores, one by one; what all of them promise is in tests/conformance."""
