"""Stimuli for a user study: images and a classifier in, a frozen set of tasks and examples out.

Importing this package imports nothing heavy: the study's server reads the schema of `manifest.json` from it
(`occlumap/stimuli/schema`) and never torch. What trains and what looks inside a network needs the extra `stimuli`.
"""
