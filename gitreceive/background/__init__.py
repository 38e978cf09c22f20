"""What the server does by itself, apart from the jobs."""
