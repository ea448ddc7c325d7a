"""Routes, one noun a file: they read the request, call a service, and shape the answer."""
