"""A trial: what this account answers to what Cordial does not document."""
