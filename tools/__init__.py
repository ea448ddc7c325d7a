"""What installs, locks, builds or checks this checkout; the Makefile calls it.

`install` uses the standard library alone, since it runs before anything is installed. No tool is a
part of the product, and none imports it.
"""
