"""What trains: feeding, batches, the loop."""
