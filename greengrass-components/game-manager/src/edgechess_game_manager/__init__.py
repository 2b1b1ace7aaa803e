"""The Chess Game Manager: three-phase validation of every move."""
