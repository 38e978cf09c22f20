from importlib.util import find_spec

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    development = "with" if find_spec("iniconfig") else "without"
    return f"Hello from Pipenv, version 1, {development} development packages\n"
