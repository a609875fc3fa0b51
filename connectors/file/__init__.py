"""The ``file`` kind: one line of JSON per change at the end of a file, written once, whatever breaks."""
