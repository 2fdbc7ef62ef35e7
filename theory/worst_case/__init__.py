"""Worst cases over whole classes of functions, by performance estimation (extra `worst-case`)."""
