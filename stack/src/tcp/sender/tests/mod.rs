//! Tests of the sender through its door.
