"""A web process that never gets to serve."""

import os


def connect():
    return os.environ["DATABASE_URL_THAT_NOBODY_SET"]


print("connecting to the database", flush=True)
connect()
