"""A reconstruction in a process of its own: it can be watched and cancelled, and cannot take its parent down."""
