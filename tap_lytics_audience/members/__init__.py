"""Who is a member: one pass over an audience, held against the ledger."""
