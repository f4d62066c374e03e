"""What a run is configured by; the only files that read flags."""
