"""The twin: an Azure-compatible control plane on loopback that really runs container apps."""
