"""What is found out about a model."""
