"""The `oddsmith` command: `main` lists the subcommands, the packages hold the rest.

Each package may import only those after it: demo, commands, client, stack, view.
"""
