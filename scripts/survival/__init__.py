"""scripts/chaos: pushes to several apps while what carries them is killed, and a look at what is left."""
