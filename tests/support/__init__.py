"""Real servers, workers and programs for the tests; `services` makes fixtures of them."""
