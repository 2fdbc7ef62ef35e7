"""Update rules, one file per family."""
