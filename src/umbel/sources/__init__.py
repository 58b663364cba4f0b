"""Where events come from: one adapter for each kind of broker."""
