"""What the answers of the web are measured with: a long history, a whole Umbel under load, every address."""
