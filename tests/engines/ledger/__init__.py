"""The contract of ledgers, on the fake and on real databases, and what only databases can show."""
