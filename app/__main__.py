"""`python -m app` is the command `eximwatch`."""

from app.tools.cli import main

main()
