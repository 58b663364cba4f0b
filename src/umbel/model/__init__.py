"""Pure values and rules: events, their decoding, their merging, what is derived, what may be asked. No I/O."""
