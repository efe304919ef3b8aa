"""`python -m seatrial`: the program, where its script is not on PATH."""

from .cli import main

main()
