"""What is stated: samplings, schedules, methods, and the claims about them."""
