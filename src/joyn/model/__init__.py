"""The field's nouns as frozen values: what services, store and transport say to each other."""
