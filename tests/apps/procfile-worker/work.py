"""A worker that says that it is alive, and ends when it is told to."""

import signal
import threading

stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

beat = 0
while not stopping.wait(1 if beat == 0 else 10):
    beat += 1
    print(f"worker beat {beat}", flush=True)
print("worker stopped", flush=True)
