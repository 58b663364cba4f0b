"""How Umbel reaches people and services elsewhere."""
