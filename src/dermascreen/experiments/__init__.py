"""Experiments: comparing two models, pooling folds, changing the recipe, and the demo."""
