"""Counts visits in redis."""

import redis

numbers = redis.Redis()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        numbers.ping()
        start_response("204 No Content", [])
        return []
    page = f"Visit {numbers.incr('visits')}.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))])
    return [page]
