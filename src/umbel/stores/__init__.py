"""Where history is kept: one adapter for each engine."""
