"""What the pages compute, and what they show, without a browser."""
