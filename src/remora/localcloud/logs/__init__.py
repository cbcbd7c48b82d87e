"""Log Analytics, as far as environments ask for it: workspaces and their keys. Logs are not kept here."""
