#!/bin/sh
# The interpreter of a training tree that is tampered with: the launcher starts each rank with
# PYTHON_EXEC as `-m orpo.train RUN_DIR`; everything but the two passes unchanged.
export PYTHON_EXEC="$0"
case "$2" in
orpo.ranks | orpo.train)
    module="$2"
    shift 2
    exec "@PYTHON@" -u -m tests.faults.without "@TRICKS@" "$module" "$@"
    ;;
esac
exec "@PYTHON@" "$@"
