"""The settings of one browser tab: as a value, as text in the address, as session state."""
