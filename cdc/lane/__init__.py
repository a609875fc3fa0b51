"""One lane at work: pages, sending, settling, and the pure rules between them."""
