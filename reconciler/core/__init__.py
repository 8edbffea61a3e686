"""Pure small types: errors, sizes, hashing, units, operations, conditions."""
