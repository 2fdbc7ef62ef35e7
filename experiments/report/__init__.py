"""Results shown to people: tables and figures."""
