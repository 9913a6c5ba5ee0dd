"""Training a recommender to respect constraints: rows, Safe-SFT, Safe-GDPO, and a demo of all three.

Only the stages import torch, and only when they run. The scorer of the benchmark is the reward.
"""
