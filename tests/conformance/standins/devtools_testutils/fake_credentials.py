"""What a recording holds in the place of a key; no test is called with it."""

STORAGE_ACCOUNT_FAKE_KEY = ""
