"""What the ports are in the real world, one file an engine. Engines do not know each other."""
