"""Programs that install, lock, build or check this checkout; the Makefile calls them.

`install` uses only the standard library, because it runs before anything is installed. No tool is a
part of the product, and no tool imports the product.
"""
