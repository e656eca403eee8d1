"""What bench/compare and bench/plans are made of."""
