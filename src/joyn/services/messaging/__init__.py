"""One-to-one messaging: accept into mailboxes, deliver out of them, keep account of dispositions."""
