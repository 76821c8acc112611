"""Reports of a reconstruction for people: a picture, and a page to scroll through."""
