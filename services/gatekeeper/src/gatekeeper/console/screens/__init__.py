"""One module a screen: a router, and the view that its template shows."""
