"""Photographs, their labels and lesions, and how they are divided."""
