"""The researcher's side: cells, pause, preview, export."""
