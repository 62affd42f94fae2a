"""Videos that cannot be decoded: skipped, listed in a ledger, and limited in number."""
