"""Programs that start others: the demo, the applications, and runs on many hosts (`run`)."""
