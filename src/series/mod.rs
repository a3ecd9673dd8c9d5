//! Filled by its own issue parts.
