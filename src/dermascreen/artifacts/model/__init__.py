"""What is needed to use a trained model: what models/ holds."""
