"""Maps of the evidence for a decision, and whether to believe them."""
