"""Numbers about predictions; knows no torch, no files, no MLflow."""
