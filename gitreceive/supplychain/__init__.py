"""What an image is made of and where it comes from, said so that others can check it: bill of materials, provenance, signature."""
