"""A study: methods x seeds x scores, planned as tasks, each of them cached."""
