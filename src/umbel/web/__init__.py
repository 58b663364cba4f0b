"""Pages, API, health and metrics: reads the store, never waits for ingestion."""
