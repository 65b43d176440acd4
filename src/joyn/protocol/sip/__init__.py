"""SIP: messages, headers, framing, transactions, dialogs, digest. Spec: RFC 3261 and its updates."""
