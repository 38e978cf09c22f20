"""app.json: what a source asks for besides its build, as a value. Pure."""
