"""Packs parcels, or would."""

import time

print("The packer is here", flush=True)
while True:
    time.sleep(60)
