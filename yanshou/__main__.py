"""`python -m yanshou`."""

from yanshou.cli import main

main()
