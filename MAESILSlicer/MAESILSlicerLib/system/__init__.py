"""System check, installation, diagnostics and storage of what reconstructions need.

Imports only the standard library, `packaging` and light parts of MAESILCore, so that it works before an installation.
PyTorch is never imported in the process with the window.
"""
