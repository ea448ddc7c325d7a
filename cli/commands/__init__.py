"""One module for each subcommand of `oddsmith`: its arguments, its calls, its output.

Uses the client, the stack and the view. A command that works on a run directory (`train`) uses the
core's contract; one that works on the database (`backup`, `restore`, `prune`) uses the services.
Nothing here starts or stops a server; `cli.stack` does.
"""
