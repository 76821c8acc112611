"""The browser face: layout and bindings over the scene code that the desktop module also uses."""
