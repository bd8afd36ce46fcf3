//! `serinus` as a person and a script use it: the real command against a real judge.

mod acting;
mod applying;
mod assigning;
mod desk;
mod getting;
mod watching;
mod writing;
