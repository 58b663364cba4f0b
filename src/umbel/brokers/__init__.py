"""How brokers themselves are asked: queue depths, diagnosis."""
