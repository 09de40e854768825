"""Statistics of predictions, without torch, files or MLflow."""
