"""Files that models are made of: where they come from, how they travel, and the store that keeps them."""
