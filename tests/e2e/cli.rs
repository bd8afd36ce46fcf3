//! `serinus` as a person and a script use it: the real command against a real judge.

mod acting;
mod applying;
mod assigning;
pub mod desk;
mod getting;
mod recorded;
mod watching;
mod writing;
