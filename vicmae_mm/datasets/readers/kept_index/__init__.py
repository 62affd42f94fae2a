"""Packet indexes kept on disk, so that a video is not scanned again when it is opened."""
