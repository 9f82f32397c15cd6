"""Programs that measure speed, memory and quality on the devices of this machine."""
