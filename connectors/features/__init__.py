"""What the kinds of map platforms share: a feature, what is found of it, and how it is written and read back."""
