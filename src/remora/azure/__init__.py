"""The client half of 'two clouds, one protocol': Microsoft's SDKs behind a CloudProfile."""
