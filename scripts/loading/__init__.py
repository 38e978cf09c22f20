"""What one server holds out: many at once, and what is large. Real git and ssh clients, real builds on the Docker target."""
