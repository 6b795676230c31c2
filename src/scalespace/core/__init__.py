"""The mathematics of the diffusion process: torch only, no files, no data."""
