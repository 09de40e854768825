"""MLflow: the only place that uses it and its environment variables."""
