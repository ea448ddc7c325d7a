"""The `oddsmith` command: `main` lists the subcommands, the rooms hold the rest.

Order of the rooms, from the last to the first: demo, commands, client, stack, view.
"""
