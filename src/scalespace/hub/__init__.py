"""Models for others: what was measured of them, their cards, and the Hugging Face Hub."""
