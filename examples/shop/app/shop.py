"""A shop in one page: goods from PostgreSQL, kept for a while in memcached; a basket for each
visitor in redis."""

import secrets
from http.cookies import SimpleCookie

import psycopg2
import redis
from pymemcache.client.base import Client

cache = Client(("127.0.0.1", 11211), timeout=5)
baskets = redis.Redis()


def query(sql):
    with psycopg2.connect(host="127.0.0.1", user="shop", dbname="shop") as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


def goods():
    """Rows of the page, and where they come from."""
    kept = cache.get("goods")
    if kept:
        return kept.decode(), "memcached"
    rows = query("SELECT name, cents FROM goods ORDER BY name")
    text = "".join(f"<li>{name}: {cents / 100:.2f}</li>" for name, cents in rows)
    cache.set("goods", text, expire=60)
    return text, "postgresql"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        query("SELECT 1")
        start_response("204 No Content", [])
        return []
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    visitor = cookies["visitor"].value if "visitor" in cookies else secrets.token_hex(8)
    rows, source = goods()
    visits = baskets.incr(f"visits:{visitor}")
    page = (
        '<!doctype html><title>Shop</title><link rel="stylesheet" href="/style.css">'
        f"<h1>Shop</h1><ul>{rows}</ul><p>From {source}; visit {visits}.</p>\n"
    ).encode()
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Set-Cookie", f"visitor={visitor}; HttpOnly; SameSite=Lax"),
        ],
    )
    return [page]
