//! What the `tapstack` command is made of.
