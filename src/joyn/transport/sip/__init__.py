"""SIP over UDP, TCP and TLS: flows, transactions and their timers."""

from joyn.transport.sip.endpoint import Endpoint, Inbound, LocalResponse
from joyn.transport.sip.flow import Flow
from joyn.transport.sip.settings import Limits, Listener

__all__ = ["Endpoint", "Flow", "Inbound", "Limits", "Listener", "LocalResponse"]
