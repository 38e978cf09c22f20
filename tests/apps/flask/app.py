"""A Flask app. Changing VERSION is the smallest change that can be seen from outside."""

import time

import requests
from flask import Flask, request

VERSION = "1"

app = Flask(__name__)


@app.get("/")
def index():
    return f"Hello from Flask, version {VERSION}\n"


@app.get("/healthz")
def healthz():
    return {"status": "ok", "requests": requests.__version__}


@app.get("/slow")
def slow():
    seconds = min(float(request.args.get("seconds", "1")), 20)
    time.sleep(seconds)
    return f"Slept {seconds} s in version {VERSION}\n"
