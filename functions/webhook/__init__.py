"""The entrance: a signed GitHub delivery comes in, one Step Functions execution goes out."""
