//! link (stub).
