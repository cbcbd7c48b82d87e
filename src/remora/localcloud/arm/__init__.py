"""Azure Resource Manager: routing, resource groups, deployments, template expressions."""
