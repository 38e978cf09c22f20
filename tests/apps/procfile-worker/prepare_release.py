"""What the release process does: a migration would stand here."""

print("release prepared", flush=True)
