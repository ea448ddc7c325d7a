"""What runs inside an engine: this folder is on its Python path, and nothing else of ours is."""
