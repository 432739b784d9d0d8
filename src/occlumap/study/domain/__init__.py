"""Rules of the study as plain functions and values: no Django, no clock, no chance of its own."""
