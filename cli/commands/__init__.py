"""One module for each subcommand of `oddsmith`: its arguments, its calls, what it prints.

Uses the client, the stack and the view. A command that works on a run directory (`train`) uses the
core's contract; one that works on the database (`backup`, `restore`, `prune`) uses the services.
Nothing here starts or stops a server: that is the stack's.
"""
