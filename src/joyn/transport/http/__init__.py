"""HTTP: listening sockets, and WebSockets as transports for what speaks over them."""

from joyn.transport.http.body import BUFFER, Body
from joyn.transport.http.client import PATH, open_websocket
from joyn.transport.http.server import HttpLimits, HttpListener, HttpServer
from joyn.transport.http.websocket import WebSocketTransport

__all__ = ["BUFFER", "PATH", "Body", "HttpLimits", "HttpListener", "HttpServer", "WebSocketTransport", "open_websocket"]
