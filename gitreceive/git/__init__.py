"""C git as a program: run in one way, and the one thing it leaves undone. For the store of sources and for receiving."""
