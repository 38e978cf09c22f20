"""gitreceive: git push, and the app runs on your own Kubernetes."""

__version__ = "0.1.0"
