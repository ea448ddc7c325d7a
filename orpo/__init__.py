"""The training core: preference rows in, a tuned policy out. Knows no database and no broker."""
