//! Claims about the import.
