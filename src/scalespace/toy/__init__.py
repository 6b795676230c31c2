"""Diffusion in one dimension, where the best network is known in closed form (paper, 1.3)."""
