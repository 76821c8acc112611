"""The file formats: each reader returns a `Scan`, each writer takes one, and no format knows another."""
