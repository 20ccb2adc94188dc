//! Devices (stub).
