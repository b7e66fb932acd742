"""The test kit: the emulator in plain pytest."""
