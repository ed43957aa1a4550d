"""The live roster changed into what a set says, and back."""
