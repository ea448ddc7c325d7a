#!/bin/sh
# Run once by Postgres's image, on an empty data folder: the platform's own role, which is no
# superuser, and its database. The password never is an argument, which others could read.

set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `sed 's|.*://oddsmith:\([^@]*\)@.*|\1|' "${ODDSMITH_SECRETS:-/run/secrets}/oddsmith_database_url"`
CREATE ROLE oddsmith LOGIN PASSWORD :'password';
CREATE DATABASE oddsmith OWNER oddsmith;
SQL
