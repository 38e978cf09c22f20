"""Puts the first goods into the window, or takes them out."""

import os
import sys

verb = "Emptying" if "--remove" in sys.argv else "Filling"
print(f"{verb} the window: {os.environ['GREETING']}")
