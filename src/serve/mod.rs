//! Long-running loops and endpoints: what a compactor shows of itself while it works.
//!
//! | room | question it answers |
//! | --- | --- |
//! | [`http`] | who may ask, over which protocol, and how does the server end? |
//! | [`metrics`] | what happened, as Prometheus reads it? |
//! | [`compactor`] | which pages does a compactor have, and what do they show? |
//!
//! The server has a thread of its own, so that it answers while every core merges blocks.

pub mod compactor;
pub mod http;
pub mod metrics;
