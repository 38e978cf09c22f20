"""The doors for git: SSH, and the hooks that receive-pack runs."""
