"""A shop window. What it needs to know is in its environment."""

import os

from flask import Flask

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]


@app.get("/")
def window():
    return f"{os.environ['GREETING']}, with a key of {len(app.secret_key)} characters\n"


@app.get("/healthz")
def healthz():
    return {"status": "ok"}
