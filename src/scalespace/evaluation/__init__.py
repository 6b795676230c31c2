"""Measuring samples and models. Metrics see arrays of images and labels, never a method."""
