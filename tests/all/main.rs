//! The one integration binary: a module for each thing that is tested from outside.

mod cli;
mod docs;
mod golden;
mod house;
mod reader;
mod serve;
mod simulation;
