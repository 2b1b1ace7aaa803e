"""Prompts as files: `NAME-VERSION.ROLE.txt`. A published file is never edited; a better one gets the next version."""
