"""The participant's way through the study."""
