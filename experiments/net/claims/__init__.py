"""Claims on networks, one file a topic; each reuses the claim object of the theory where there is one."""
