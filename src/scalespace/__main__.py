"""`python -m scalespace` is the command `scalespace`."""

from scalespace.cli import main

main()
