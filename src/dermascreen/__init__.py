"""dermascreen: malignant or benign in dermoscopy photographs, with numbers that say how far to trust them."""
