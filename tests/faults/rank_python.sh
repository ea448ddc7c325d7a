#!/bin/sh
# The interpreter of a training tree whose ranks are tampered with: torchrun starts each with
# PYTHON_EXEC as `-u -m orpo.train RUN_DIR`; everything else passes unchanged.
export PYTHON_EXEC="$0"
if [ "$3" = orpo.train ]; then
    shift 3
    exec "@PYTHON@" -u -m tests.faults.without "@TRICKS@" orpo.train "$@"
fi
exec "@PYTHON@" "$@"
