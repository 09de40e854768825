"""From pixels to a logit, a calibrated probability and a decision."""
