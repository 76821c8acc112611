"""Reports of a reconstruction: a picture, and a page to scroll through."""
