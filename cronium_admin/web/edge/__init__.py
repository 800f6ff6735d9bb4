"""The server's edge: limits connections, requests and bodies before Django receives them."""
