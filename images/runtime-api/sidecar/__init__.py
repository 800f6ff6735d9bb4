"""The runtime API of one run: an HTTP server for the job and a control channel to the worker."""
