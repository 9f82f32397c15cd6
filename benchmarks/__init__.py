"""Programs that measure speed and memory on whatever device is there."""
