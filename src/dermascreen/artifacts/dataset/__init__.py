"""What the stages on data hand on: photographs, their labels and lesions, the split, and decoded images."""
