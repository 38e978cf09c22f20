"""``python -m gitreceive``."""

from gitreceive.cli import main

main()
