"""Speed, as ratios against references that are measured in the same run on the same machine."""
