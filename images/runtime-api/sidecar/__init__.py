"""The runtime API of one run: HTTP for the job on one side, a control channel to its worker on the other."""
