//! Everything that needs more than one room of the library, in one binary.

mod bucket;
mod forecast;
mod golden;
mod hostile;
mod moto;
mod prometheus;
mod rewrite;
mod rows;
mod simulation;
mod skip;
mod tidy;
