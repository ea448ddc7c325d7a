"""Code that runs in an engine: of our code, only this folder is on the engine's Python path."""
