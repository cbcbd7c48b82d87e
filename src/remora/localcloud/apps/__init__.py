"""Container Apps: environments, apps, revisions, and the processes that they are."""
