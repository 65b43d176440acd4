"""Setting up devices: one-time codes, devices and their credentials, and the configuration they fetch (RCC.14)."""
