"""What is minimised: finite sums f = (1/n) sum_i f_i, their gradients and their constants."""
