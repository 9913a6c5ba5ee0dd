"""SafeRec: do recommendations respect what a user cannot bear, and what does that cost them?

The figures measure tags of films and dishes. They do not measure harm.
"""
