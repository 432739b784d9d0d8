"""The coding bench: free texts to codes, one answer at a time, blind to the condition."""
