#!/bin/sh
# Run once by Postgres's image, on an empty data folder: creates the platform's own role, which is
# not a superuser, and its database. The password is never an argument, because other processes
# could read it.

set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `sed 's|.*://oddsmith:\([^@]*\)@.*|\1|' "${ODDSMITH_SECRETS:-/run/secrets}/oddsmith_database_url"`
CREATE ROLE oddsmith LOGIN PASSWORD :'password';
CREATE DATABASE oddsmith OWNER oddsmith;
SQL
