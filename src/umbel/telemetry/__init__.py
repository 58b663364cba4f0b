"""What is told to others: spans and metrics by OTLP, errors to Sentry; each needs an extra of its own."""
