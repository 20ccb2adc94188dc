//! What apps use (stub).
