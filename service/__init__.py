"""HTTP service and command line: thin layers over model/."""
