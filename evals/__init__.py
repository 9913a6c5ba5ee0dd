"""Evaluations of a model or a catalogue: what is recommended, and what should not have been."""
