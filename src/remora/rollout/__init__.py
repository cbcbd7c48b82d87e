"""From a folder to an answering revision: plan, sync, release."""
