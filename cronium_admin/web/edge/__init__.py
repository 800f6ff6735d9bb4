"""The server's edge: bounds connections, requests and bodies before Django sees them."""
