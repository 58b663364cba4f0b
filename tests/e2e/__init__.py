"""A real browser in front of the real web server and store."""
