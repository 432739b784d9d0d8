"""Evaluation: how faithful is a heatmap, whoever made it; imports nothing heavy."""
