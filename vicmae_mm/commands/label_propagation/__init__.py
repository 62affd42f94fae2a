"""Dense evaluation: labels of a video's first frame, propagated with frozen features."""
