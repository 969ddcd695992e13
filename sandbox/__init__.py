"""A Lytics and a Cordial on this machine, to run and test the pipeline without an account."""
