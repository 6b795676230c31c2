"""Stages: what is trained, each one network (or a pair) with its loss."""
