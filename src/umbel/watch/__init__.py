"""What `umbel alert` does: looks at what rules are about, decides, delivers."""
