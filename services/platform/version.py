"""The version of Oddsmith. A test compares it with `pyproject.toml`, which can't be read once the
package is installed.
"""

VERSION = "0.1.0"
