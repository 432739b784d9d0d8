"""Where participants come from, and how they are paid."""
