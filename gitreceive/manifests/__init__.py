"""Releases as Kubernetes objects, pure: rendered from templates, led to by hosts."""
