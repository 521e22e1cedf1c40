"""What all visitors share: models, data, scores, cuts, background measurements, and the warm-up."""
