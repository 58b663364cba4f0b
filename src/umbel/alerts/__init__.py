"""Alerts: rules, and what follows from what was measured. Pure: nothing here reads a store or sends anything."""
