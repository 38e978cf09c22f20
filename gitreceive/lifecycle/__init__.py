"""The program inside the build container and the launcher inside the image: standard library only."""
