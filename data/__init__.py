"""Commands that write synthetic videos and pictures as files, and the demo's model and words."""
