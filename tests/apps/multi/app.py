"""A Flask app whose front end Node.js builds: what it makes is served from static/."""

import os

from flask import Flask, render_template

app = Flask(__name__)


@app.get("/")
def window() -> str:
    return render_template("window.html", version=1, workers=os.environ.get("WEB_CONCURRENCY"))
