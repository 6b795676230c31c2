"""Networks: plain modules, each built from a small config."""
