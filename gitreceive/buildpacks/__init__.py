"""What the server knows of buildpacks, pure: order, choice, and what is said when none matches."""
