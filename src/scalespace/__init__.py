"""scalespace: class-conditional image diffusion across scales, measured."""

__version__ = "0.1.0"
