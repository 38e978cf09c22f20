"""What the stories are told with, and the rules of each kind; no engine is imported."""
