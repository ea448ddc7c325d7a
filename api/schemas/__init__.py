"""What goes over the wire, one noun a file. Knows records, not how they are stored."""
