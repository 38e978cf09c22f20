"""How fast a push is, beside what a user does without gitreceive, on the same cluster in the same run."""
