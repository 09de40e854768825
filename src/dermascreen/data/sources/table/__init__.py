"""Photographs whose class, lesion and patient are told by tables."""
