"""What several tests need: servers, data, and independent checks of results."""
